"""The words that recasting must know: forms of pronouns, what may stand beside them, and what makes a text unclear.

All lists are our own and err on the side of "unclear": an episode is rather left out than recast wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forms:
    """The forms of a pronoun: she, her (object), her (before a noun), hers, herself."""

    subject: str
    object: str
    determiner: str
    possessive: str
    reflexive: str

    @property
    def all(self) -> frozenset[str]:
        """Every form."""
        return frozenset((self.subject, self.object, self.determiner, self.possessive, self.reflexive))


SETS = {
    "he": Forms("he", "him", "his", "his", "himself"),
    "she": Forms("she", "her", "her", "hers", "herself"),
    "they": Forms("they", "them", "their", "theirs", "themself"),
}


def words_of(text: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(text.split())


#: After one of these, "her" is an object and "his" stands alone.
FUNCTION = words_of(
    "a an the this that these those some any no every each all both it i you we me us him them to for from in on at by "
    "with about into of off out up down over under again too also now then there here and or but nor so because if "
    "when while where what who why how which as than like is are was were be been has have had does do did will would "
    "can could may might must shall should not before after until since through across around away along behind "
    "toward towards without within alone hard well fast more less much soon later today tomorrow tonight yesterday "
    "instead anyway though already yet still twice once straight aside together everything anything nothing something"
)
#: Words on -ly that stand before a noun.
NO_ADVERB = words_of(
    "only early friendly lovely daily weekly family elderly likely ugly lonely silly reply belly homely"
)
#: After these, "her" and a noun may be two objects ("gave her money"), or "her" may be the one who acts.
TWO_OBJECTS = words_of(
    "give gives gave given giving tell tells told telling show shows showed shown showing offer offers offered "
    "offering hand hands handed handing send sends sent sending ask asks asked asking teach teaches taught pay pays "
    "paid lend lends lent bring brings brought buy buys bought cook cooks cooked make makes made making let lets "
    "letting help helps helped helping see sees saw seen seeing watch watches watched watching hear hears heard call "
    "calls called have has had having wish wishes promise promised owe owes owed pass passes passed pour pours poured"
)
#: "call her back", "her back hurts".
TWO_READINGS = words_of("back home right left close open inside outside first last next")
#: Words between a subject and its verb.
BETWEEN = words_of(
    "also never always still just only really then now often even soon already both all usually sometimes probably "
    "certainly again first finally"
)
#: Before a subject they ask, and carry its number.
AUXILIARY = words_of("is was has does isn't wasn't hasn't doesn't are were have do aren't weren't haven't don't")
#: Before a subject they ask, and the verb after it does not change.
MODAL = words_of("did didn't had hadn't will would can could may might must shall should")
#: Verbs that do not change with the person, and pasts that look like no past.
UNCHANGING = words_of(
    "will would can could may might must shall should had did went said took came made got saw knew gave told felt "
    "left kept thought found heard held stood sat ran began brought bought sold paid met lost won spoke wrote drove "
    "broke chose fell grew drew threw flew ate drank sang swam slept spent built sent meant caught taught fought wore "
    "shook rose bent lent became understood hid rode woke froze stole tore swore led fed fled bit slid hung lit shone"
)
#: Present and past are the same.
TENSELESS = words_of("put let set cut hit shut read cost hurt quit split spread bet cast")
#: "she's been": she has.
PARTICIPLES = words_of("been got had done gone made taken given seen known come become said told left lost found kept")
#: Verbs whose third person is irregular, or that only look like others.
IRREGULAR = {"is": "are", "was": "were", "has": "have", "does": "do", "isn't": "aren't", "wasn't": "weren't"}
IRREGULAR |= {"hasn't": "haven't", "doesn't": "don't", "aches": "ache", "focuses": "focus", "lies": "lie"}
IRREGULAR |= {"dies": "die", "ties": "tie", "unties": "untie", "goes": "go", "discusses": "discuss"}
#: Singular nouns and other words on -s that follow a conjunction and are no verbs.
NO_VERB = words_of("his its hers ours yours this as us yes is was perhaps always besides thus")

#: A word that says somebody's gender, so that exchanging it would mean knowing whose.
GENDERED = words_of(
    "man men woman women male female boy boys girl girls guy guys lady ladies gentleman gentlemen sir madam ma'am "
    "mister mrs husband wife father mother dad mum mom daddy mummy son sons daughter daughters brother brothers "
    "sister sisters uncle aunt auntie nephew niece grandfather grandmother grandpa grandma granny grandson "
    "granddaughter boyfriend girlfriend widow widower bride groom king queen prince princess actor actress waiter "
    "waitress policeman policewoman businessman businesswoman landlady housewife salesman saleswoman motherhood "
    "fatherhood feminine masculine womanly manly bachelor spinster lad lass bro sis mama papa ladylike chairman "
    "chairwoman fisherman pregnant beard"
)
#: Somebody else who may be meant by a pronoun.
THIRD = GENDERED | words_of(
    "friend friends boss neighbour neighbours neighbor neighbors colleague colleagues doctor child children kid kids "
    "baby partner spouse cousin parent parents relative relatives customer customers client clients teacher manager "
    "owner guest guests student students people person somebody someone anybody anyone everybody everyone nobody "
    "lawyer nurse landlord tenant roommate flatmate team crowd group family couple cat dog others"
)
#: First names and family names that are English words as well.
ALSO_WORDS = words_of(
    "an will mark grace may rose hope bill art faith joy robin dawn frank grant sue pat drew chase rich guy gene penny "
    "ivy lily iris summer april june august baker cook moss sun long young old man song king prince page miles rob "
    "bob jack nick ray dale glen cliff heath reed stone woods hill brook lane field banks bell wood cross ford day "
    "white black brown green gray grey short best love price cash sharp swift walker hunter fisher carter mason smith "
    "taylor cooper potter bishop pope marshall major duke earl noble angel star sky ocean river rain storm amber ruby "
    "pearl jade olive ginger pepper cherry daisy violet holly hazel heather fern he she do so in on or no you to"
)
#: Words that tell where somebody's people come from.
ORIGIN = words_of(
    "african american arab arabic armenian asian australian austrian bengali brazilian british bulgarian canadian "
    "caribbean catholic chinese christian colombian croatian cuban czech danish dutch egyptian english ethiopian "
    "european filipino finnish french german ghanaian greek hawaiian hindu hungarian indian indonesian iranian irish "
    "israeli italian jamaican japanese jewish kenyan korean latino latina lebanese malay mexican moroccan muslim "
    "nigerian norwegian pakistani persian peruvian polish portuguese punjabi romanian russian samoan scottish serbian "
    "sichuan somali spanish swedish swiss syrian tamil thai turkish ukrainian vietnamese welsh native immigrant "
    "bharatanatyam mariachi navajo refugee busan krakow manila africa asia china india japan korea mexico brazil"
)
#: Words that tell how old somebody is.
AGED = words_of(
    "young younger youngest elderly elder old-timer teen teens teenage teenager youth youthful junior senior seniors "
    "retired retirement retire retiring pension pensioner grandson granddaughter grandchild grandchildren grandfather "
    "grandmother grandparent grandparents grandpa grandma student students pupil apprentice trainee intern "
    "undergraduate college university school twenties thirties forties fifties sixties seventies eighties decades "
    "generation widow widower kid toddler newborn boyhood girlhood menopause aged ageing aging birthday"
)
