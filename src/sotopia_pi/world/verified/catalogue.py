"""What verified scenarios are about: items on sale, things to divide, meeting occasions and places, fact subjects.

Everything is listed under the one split that may use it, so that what is trained on is never tested on.
"""

from __future__ import annotations

from typing import Literal, get_args

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

#: Items on sale and the band of their listed price, in dollars.
PRICES: dict[Split, dict[str, tuple[int, int]]] = {
    "train": {
        "mountain bike": (220, 480),
        "guitar": (120, 360),
        "sofa": (200, 600),
        "dining table": (180, 520),
        "globe": (40, 80),
        "bookshelf": (60, 160),
        "camera": (160, 520),
        "tent": (80, 240),
        "sewing machine": (110, 300),
        "coffee machine": (90, 280),
        "office chair": (80, 220),
        "lawn mower": (140, 380),
        "microwave": (50, 120),
        "record player": (110, 320),
        "carpet": (90, 320),
        "wardrobe": (140, 420),
        "keyboard": (50, 140),
        "telescope": (150, 460),
        "skateboard": (45, 120),
        "backpack": (45, 130),
        "drum kit": (300, 720),
        "washing machine": (180, 480),
        "cargo bike": (500, 950),
        "stroller": (100, 320),
        "violin": (260, 760),
        "toolbox": (50, 150),
        "mirror": (45, 140),
        "garden bench": (80, 240),
        "tablet": (140, 380),
        "printer": (60, 180),
        "heater": (50, 140),
        "fridge": (180, 520),
        "canoe": (320, 800),
        "hammock": (50, 150),
        "armchair": (110, 320),
        "projector": (180, 480),
        "rowing machine": (220, 560),
        "wool coat": (70, 220),
        "oil painting": (150, 560),
        "chess set": (45, 130),
    },
    "dev": {
        "electric scooter": (220, 520),
        "bunk bed": (160, 420),
        "accordion": (260, 700),
        "toaster": (40, 80),
        "snowboard": (120, 340),
        "greenhouse": (280, 680),
        "radio": (45, 140),
        "leather jacket": (90, 280),
        "racing bike": (280, 700),
        "piano": (480, 950),
        "kayak": (280, 700),
        "monitor": (90, 280),
        "dishwasher": (180, 440),
        "chest of drawers": (90, 300),
        "surfboard": (150, 420),
        "laptop": (260, 680),
        "cello": (420, 900),
        "treadmill": (220, 600),
        "vacuum cleaner": (60, 180),
        "wall clock": (45, 130),
        "barbecue grill": (90, 280),
        "trumpet": (140, 400),
        "snow sled": (45, 120),
        "microphone": (60, 200),
        "rain barrel": (45, 110),
        "drawing board": (80, 240),
        "trailer": (240, 620),
        "suitcase": (50, 150),
    },
    "test": {
        "folding bike": (200, 520),
        "harp": (480, 960),
        "sailing dinghy": (400, 950),
        "hi-fi amplifier": (110, 360),
        "freezer": (150, 420),
        "writing desk": (90, 300),
        "ski set": (120, 380),
        "game console": (140, 420),
        "saxophone": (300, 800),
        "exercise bench": (60, 200),
        "food processor": (50, 160),
        "floor lamp": (45, 120),
        "patio heater": (90, 260),
        "clarinet": (140, 420),
        "rocking horse": (45, 130),
        "film scanner": (80, 260),
        "compost bin": (40, 90),
        "easel": (45, 140),
        "roof rack": (90, 260),
        "travel trunk": (60, 220),
    },
}

#: Things to divide; the plural adds an s.
THINGS: dict[Split, tuple[str, ...]] = {
    "train": (
        "book", "hat", "ball", "cup", "lamp", "shell", "candle", "basket", "poster", "blanket", "puzzle", "mug",
        "spool", "kite", "plate", "bell", "pillow", "marble", "pencil", "jar", "spoon", "apple", "drum", "ticket",
    ),
    "dev": (
        "vase", "magnet", "stamp", "whistle", "pear", "rug", "bowl", "ring", "lantern", "flute", "postcard", "melon",
        "kettle", "doll", "cushion", "pot", "button", "map",
    ),
    "test": (
        "scarf", "coin", "anchor", "mask", "sticker", "orange", "teapot", "puppet", "towel", "glove", "thimble", "pen",
    ),
}  # fmt: skip

#: What two people want to do together.
OCCASIONS: dict[Split, tuple[str, ...]] = {
    "train": (
        "walk the dogs", "practise a duet", "plan a street party", "repair a fence", "study for a test",
        "play table tennis", "cook a soup", "paint a mural", "sort old photos", "plan a trip", "record a song",
        "rehearse a play", "clean the cellar", "bake bread", "test a recipe", "trade stamps",
    ),
    "dev": (
        "plant a tree", "fly a kite", "practise a speech", "build a shelf", "play chess", "plan a book club",
        "wash the van", "go running", "practise Spanish", "mend a roof", "pick berries", "review a budget",
        "film a dance", "plan a picnic",
    ),
    "test": (
        "go swimming", "plan a quiz night", "sand the floor", "hike the ridge", "practise Italian", "tune the engine",
        "press cider", "check the accounts", "edit a podcast", "plan a bazaar",
    ),
}  # fmt: skip

#: Where to meet; no word occurs in two names.
PLACES: dict[Split, tuple[str, ...]] = {
    "train": (
        "Rose Cafe", "City Library", "North Gate", "Harbour Hall", "Green Park", "Old Mill", "Market Square",
        "Lake House", "River Bridge", "Tower Museum", "Sunny Corner",
    ),
    "dev": (
        "Maple Inn", "West Pier", "Stone Garden", "Royal Theatre", "Central Station", "Pine Lodge", "Blue Diner",
        "South Dock", "Hill School", "Castle Court", "Beach Kiosk", "Forest Cabin", "Opera Steps", "Grand Arcade",
    ),
    "test": (
        "Red Bakery", "East Ferry", "Valley College", "Abbey Cloister", "Dune Shelter", "Meadow Barn", "Ballet Foyer",
        "Union Plaza",
    ),
}  # fmt: skip

#: What can be known, and the possible answers; subjects are told and guarded alike.
FACTS: dict[Split, dict[str, tuple[str, str, str, str]]] = {
    "train": {
        "the bus colour": ("red", "green", "blue", "yellow"),
        "the market day": ("Monday", "Wednesday", "Friday", "Sunday"),
        "the soup flavour": ("tomato", "pumpkin", "mushroom", "leek"),
        "the hiding place": ("cellar", "attic", "garage", "shed"),
        "the club animal": ("fox", "owl", "bear", "otter"),
        "the festival city": ("Lisbon", "Vienna", "Oslo", "Athens"),
        "the parade instrument": ("trumpet", "violin", "drum", "harp"),
        "the prize sport": ("tennis", "rowing", "hockey", "judo"),
        "the gift metal": ("silver", "copper", "bronze", "iron"),
        "the cake fruit": ("cherry", "plum", "lemon", "peach"),
        "the trip month": ("March", "June", "August", "October"),
        "the statue material": ("marble", "oak", "glass", "clay"),
        "the parcel content": ("books", "shoes", "tea", "paint"),
        "the garden flower": ("tulip", "daisy", "lily", "poppy"),
        "the quiz topic": ("history", "music", "physics", "sports"),
        "the ferry island": ("Crete", "Malta", "Corfu", "Elba"),
    },
    "dev": {
        "the flag colour": ("purple", "black", "orange", "pink"),
        "the rehearsal day": ("Tuesday", "Thursday", "Saturday", "Sunday"),
        "the zoo newcomer": ("zebra", "panda", "lynx", "camel"),
        "the tower stone": ("granite", "slate", "basalt", "chalk"),
        "the picnic drink": ("cider", "cocoa", "lemonade", "water"),
        "the tour country": ("Peru", "Kenya", "Nepal", "Chile"),
        "the door colour": ("turquoise", "brown", "ivory", "crimson"),
        "the concert day": ("Tuesday", "Thursday", "Saturday", "Monday"),
        "the school mascot": ("tiger", "eagle", "dolphin", "badger"),
        "the conference city": ("Prague", "Dublin", "Madrid", "Helsinki"),
        "the sauce spice": ("ginger", "vanilla", "mint", "saffron"),
        "the band instrument": ("flute", "banjo", "cello", "organ"),
        "the key spot": ("mailbox", "flowerpot", "drawer", "chimney"),
        "the finals sport": ("boxing", "fencing", "cricket", "golf"),
        "the wedding month": ("April", "July", "September", "December"),
        "the ring stone": ("ruby", "opal", "pearl", "jade"),
        "the lecture topic": ("comets", "volcanoes", "robots", "glaciers"),
        "the pie filling": ("apricot", "rhubarb", "spinach", "salmon"),
    },
    "test": {
        "the curtain colour": ("violet", "beige", "navy", "maroon"),
        "the recital day": ("Monday", "Wednesday", "Friday", "Saturday"),
        "the team emblem": ("falcon", "wolf", "heron", "moose"),
        "the summit city": ("Warsaw", "Lyon", "Porto", "Bergen"),
        "the bread spice": ("cumin", "fennel", "anise", "sesame"),
        "the choir opener": ("hymn", "waltz", "ballad", "canon"),
        "the spare spot": ("cupboard", "bookcase", "basement", "hallway"),
        "the gala sport": ("archery", "curling", "squash", "polo"),
        "the reunion month": ("January", "February", "May", "November"),
        "the brooch stone": ("topaz", "garnet", "amber", "onyx"),
        "the seminar topic": ("beavers", "honey", "bridges", "tides"),
        "the tart filling": ("quince", "fig", "almond", "cheese"),
    },
}

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = ("8:00", "9:00", "10:00", "11:00", "13:00", "14:00", "15:00", "16:00", "17:00", "18:00", "19:00")


def entries(split: Split) -> frozenset[str]:
    """Everything that scenarios of `split` can be about, each as "kind: name"."""
    groups = {
        "price": PRICES[split],
        "division": THINGS[split],
        "occasion": OCCASIONS[split],
        "place": PLACES[split],
        "fact": FACTS[split],
    }
    return frozenset(f"{kind}: {name}" for kind, names in groups.items() for name in names)
