"""What an amount of money means where it stands: an offer, what was paid, what the other said, a limit, a difference.

The senses are told by the words left and right of the amount in its clause; the first rule that fits decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from sotopia_pi.episodes.reading.cues import IDIOMS


class Sense(Enum):
    """What an amount means where it stands."""

    OFFER = auto()
    WISH = auto()
    NAMED = auto()
    LIMIT = auto()
    CHANGE = auto()
    OTHER = auto()
    REFUSED = auto()
    GONE = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """Where an amount stands: the words left and right of it in its clause, and whether the clause is a question."""

    left: str
    right: str
    question: bool
    item: str

    @property
    def asked(self) -> str:
        """The words to the left without negations that do not negate ("why not", "couldn't you")."""
        return IDIOMS.sub(" ", self.left + ("?" if self.question else "")).rstrip("?")

    @property
    def negated(self) -> bool:
        """Whether the words to the left deny the amount."""
        return bool(_NEGATED.search(self.asked))


_PER = re.compile(r"^ ?(?:bill|bills|deposit|each|apiece|per|an? (?:hour|month|week|day|piece))\b")
_CHANGING = re.compile(r"\b(?:knock|come|go|drop|take|reduce|lower|add|raise|shave|cut|bump)\b")
_ATTRIBUTE = re.compile(r"^ (?!offer|price|bid|deal|for|is|and|or|in|if|on|at|to|but|as|cash)[a-z]+")
_ARTICLE = re.compile(r"\b(?:an?|this)$")
_POINTS = re.compile(r"\b(?:the|that|your|at|for) ?$")
_THAN = re.compile(
    r"\b(?:than|instead of|rather than|down from|up from|from|unlike|compared (?:to|with)|versus|vs)(?: the| your|"
    r" my)? ?$"
)
_CHANGE_LEFT = re.compile(
    r"\b(?:by|another|extra|additional|plus|knock|knocking|knocked|shave|save|saves|saving|discount of|reduction of|"
    r"come down|go down|difference of|increase of|add|adding|extra|within)(?: about| just| only| the)? ?$"
)
_CHANGE_RIGHT = re.compile(
    r"^ ?(?:dollars? )?(?:less|more|off|discount|extra|short|apart|cheaper|difference|higher|lower|on top)\b"
)
_YOU_SAID = re.compile(
    r"(?<!if )(?<!would )(?<!could )(?<!can )(?<!will )\byou(?:'ve|'d)?(?: had| have| just| also| only| already|"
    r" originally| first| initially| yourself)* "
    r"(?:said|offered|mentioned|asked|wanted|proposed|suggested|quoted|named|want|ask|told|advertised|posted|"
    r"listed)\b"
    r"|\byou(?:'re| are| were) (?:\w+ )?(?:asking|offering|proposing|suggesting|at)\b|\byour (?:\w+ ){0,2}(?:price|"
    r"offer|ask|proposal|number|figure|counter|counteroffer|suggestion)\b|\byour(?: \w+)? ?$"
)
_NAMED_RIGHT = re.compile(
    r"^ ?(?:that |which )?you(?:'ve|'d)? (?:just |already |first |originally )?(?:said|offered|mentioned|asked|"
    r"wanted|proposed|suggested|quoted|named|want|are|were)\b|^ (?:offer|price|proposal|you)\b"
)
_PAST = re.compile(
    r"\b(?:paid|bought|cost me|costs?(?! you)|costing|worth|valued|value is|retails?|retailed|retailing|originally|"
    r"original price|new ones?|brand[- ]new|sells|sold (?:one|it|mine|another|for|at)|goes for|going (?:rate|price)|"
    r"went for|"
    r"listed|listing|list price|spent|spend|usually|typically|normally|someone|somebody|another (?:buyer|seller|"
    r"person|guy|offer|store|shop)|other (?:buyers?|sellers?|offers?|people|person)|they|he|she|online|elsewhere|"
    r"stores?|shops?|market|"
    r"saw|seen|found|similar|saved|bring|repairs?|fix|fixing|invested|the asking price|asking price (?:is|was|of)|"
    r"price (?:was|used to be)|was priced|fee|tax|estimate[ds]?|appraised|budget)\b"
)
_NOT_PAST = re.compile(
    r"\b(?:cost you|i'm asking|i am asking|my asking|i could have|let you have|you (?:can|could|may) have|have it|"
    r"have to (?:ask|get|have|say|be)|i have to|i'd have to|you have to|you'd have to|i'll have|happy to have|"
    r"have you|i(?:'ll| will| can| could|'d| would) go for)\b"
)
_WILLING = re.compile(
    r"\b(?:most|best|highest|lowest|least|furthest|cheapest|final|max|maximum|minimum)\b.*\b(?:do|go|offer|pay|take|"
    r"accept|give|spare|manage|get|price|number|bid|sell)\b|\b(?:up to|as (?:low|high|far) as|down to|at least|"
    r"stretch to|meet you at|come (?:up|down) to|go (?:up )?to)\b"
)
_LIMIT = re.compile(
    r"\b(?:above|over|below|under|beneath|beyond|past|exceed|more than|less than|lower than|higher than|"
    r"no more than|no less than|max(?:imum)? is|minimum is|limit is|budget (?:is|of)|limit of|floor is|maximum of|"
    r"minimum of|lower|higher)(?: than)? ?$"
    r"|\bi (?:only |just )?(?:have|'ve got)\b|\bmy (?:\w+ )?(?:budget|limit|max|maximum|minimum|floor)\b|"
    r"\bi've (?:only |just )?got\b"
)
_LIMIT_RIGHT = re.compile(
    r"^ (?:is|would be) (?:\w+ )?my (?:\w+ )?(?:limit|max|maximum|budget|minimum|floor|ceiling)\b|^ (?:budget|"
    r"limit)\b"
)
_NEGATED = re.compile(
    r"\b(?:not|never|cannot|no way|nowhere near|unable to|refuse|impossible|no|hardly|insult\w*|too much at)\b|n't\b"
)
_REFUSED_RIGHT = re.compile(
    r"^ ?(?:dollars )?(?:is|was|seems|would be|sounds|feels|'s|looks|for (?:it|this|that|the \w+) is|might be|"
    r"may be)? ?(?:just |still |a bit |a little |way |far |much |really |simply |quite |pretty |also |rather |"
    r"honestly |actually |definitely |certainly |very )*"
    r"(?:too|a lot|a bit much|pushing|more than|less than|not|n't|isn't|out of|beyond|above|below|under|won't|"
    r"doesn't|don't|wouldn't|can't|cannot|never|steep|high|low|unfair|expensive|an insult|insulting|ridiculous|"
    r"lowball|tough|hard|difficult|impossible)\b"
)
_GONE_RIGHT = re.compile(
    r"^ ?(?:offer |price )?(?:is|was|'s)? ?(?:now |no longer |not )?(?:off the table|back|a mistake|withdrawn|"
    r"available anymore|on the table anymore|on the table)\b"
)
_GONE_LEFT = re.compile(r"\b(?:forget|withdraw|withdrawing|take back|scratch|changed my mind about)\b")
_WISH = re.compile(
    r"\b(?:wanted|hoped|hoping|was thinking|expected|expecting|would have|i'd have|would've|preferred|prefer|"
    r"would like|i'd like|i'd love|ideally|dream)\b"
)
_ACCESSORY_WORDS = (
    "delivery shipping gas petrol helmet lock extras accessories repair repairs service tune-up parts lessons "
    "warranty battery case bag installation insurance parking postage pump lamp lights cover cable stand fuel "
    "trip drive moving"
)


@lru_cache(maxsize=1024)
def _beside(item: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Patterns right and left of an amount that is for something beside the item: "$20 for the helmet"."""
    things = "|".join(thing for thing in _ACCESSORY_WORDS.split() if thing not in item.lower())
    right = rf"^ (?:more )?(?:for|on|in|of) (?:(?:the|a|an|my|your|some|new) ){{0,3}}(?:\w+ )?(?:{things})\b"
    left = rf"\b(?:{things}) (?:is|are|was|costs?|would be|would cost|for|at|worth)(?: about| around)? ?$"
    return re.compile(right), re.compile(left)


def _gone(place: Place) -> Sense | None:
    taken_back = _GONE_LEFT.search(place.left) and not place.negated
    return Sense.GONE if taken_back or _GONE_RIGHT.match(place.right) else None


def _change(place: Place) -> Sense | None:
    if not (_CHANGE_LEFT.search(place.left) or _CHANGE_RIGHT.match(place.right)):
        return None
    return Sense.CHANGE if place.question or _CHANGING.search(place.left) else Sense.OTHER


def _something_else(place: Place) -> Sense | None:
    right, left = _beside(place.item)
    attribute = _ATTRIBUTE.match(place.right) and _ARTICLE.search(place.left)
    other = attribute or _PER.match(place.right) or right.match(place.right) or left.search(place.left)
    return Sense.OTHER if other else None


def _named(place: Place) -> Sense | None:
    behind = _NAMED_RIGHT.match(place.right) and _POINTS.search(place.left)
    return Sense.NAMED if behind or _YOU_SAID.search(place.left) else None


def _limit(place: Place) -> Sense | None:
    if _WILLING.search(place.left) and not place.negated:
        return Sense.REFUSED if _REFUSED_RIGHT.match(place.right) else Sense.OFFER
    return Sense.LIMIT if _LIMIT.search(place.asked) or _LIMIT_RIGHT.match(place.right) else None


def _denied(place: Place) -> Sense | None:
    if _THAN.search(place.left):
        return Sense.OTHER
    asks = place.question and place.left.strip() in ("would", "is")
    return Sense.REFUSED if place.negated or (_REFUSED_RIGHT.match(place.right) and not asks) else None


def _told(place: Place) -> Sense | None:
    if _PAST.search(_NOT_PAST.sub(" ", place.left)):
        return Sense.OTHER
    return Sense.WISH if _WISH.search(place.left) else None


_RULES: tuple[Callable[[Place], Sense | None], ...] = (
    _gone, _change, _something_else, _named, _limit, _denied, _told,
)  # fmt: skip


def sense_of(place: Place) -> Sense:
    """What the amount at `place` means; an amount that no rule speaks against is an offer."""
    for rule in _RULES:
        sense = rule(place)
        if sense is not None:
            return sense
    return Sense.OFFER
