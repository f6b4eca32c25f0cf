"""Reading a bargain: which of the numbers in a turn is an offer.

Each amount is given a sense from the words around it: what was paid, what the other said, a limit, a refusal, a
difference, a wish or an offer. An amount without a currency counts only where it can be nothing but a price.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from sotopia_pi.episodes.reading.cues import IDIOMS, Cues, read_cues
from sotopia_pi.episodes.reading.terms import Said, Terms
from sotopia_pi.episodes.reading.words import Clause, clauses, clean, spell
from sotopia_pi.world.checks import PriceSide


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
class Amount:
    """An amount of dollars and where it stands: the index of its clause. An alternative follows an "or"."""

    dollars: float
    sense: Sense
    clause: int
    alternative: bool = False


_NUMBER = re.compile(
    r"(?<![\w.#])(?P<cur>us ?\$|\$|€|£|usd )? ?(?P<num>\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d{1,9}(?:\.\d{1,2})?)(?![\d])"
    r"(?P<k> ?k\b| ?grand\b| thousand\b| hundred\b)?"
    r"(?P<unit> ?(?:us )?(?:dollars?|bucks?|usd|euros?|pounds|quid|smackers|€|£|\$))?(?P<odd>[\w%°:/]|-\w)?"
)
_MARK = re.compile(r"<(\d+)>")
#: What may follow a bare number that is a price; any other word is taken for what is counted.
_FOLLOWS = re.compile(
    r" ?(?:$|[^\w\s<]|(?:and|or|is|it|it's|works?|for|then|if|but|cash|today|now|total|firm|flat|would|sounds?|as|max|tops|at|on|with|because|since|so|please|"
    r"seems|right|even|instead|tomorrow|final|obo|just|that|be|will|we|you|i|i'm|i'll|and's|all|here|there|was|when|from|in|my|your|the|looks|still|deal|sold|"
    r"to|can|could|than|less|more|off|not|isn't|doesn't|too|seal|altogether|maximum|max)\b)"
)
_BARE_LEFT = re.compile(
    r"(?:^|\b(?:for|at|about|say|saying|do|to|take|taking|offer|offering|accept|pay|give|you|of|is|it|want|than|the|like|around|ask|asking|not|maybe|your|called?|be|me|go|"
    r"deal|settle|on|with|how|and|or|but|ok|okay|need|thinking|let's|paid|said|above|below|over|under|spend|only|it's|by|from|between|just|another|get|sell|was|no|make|fine|still|my|that's|then))$"
)
_YEAR = re.compile(r"\b(?:in|since|from|year|model|of|circa|the|bought|around|back|made|a|my)$")


def _mark(text: str, listed: float) -> tuple[str, list[float]]:
    """The text with `<i>` for its i-th amount; numbers that are no amounts become `#`."""
    found: list[float] = []

    def replace(match: re.Match[str]) -> str:
        value = _value(match, text, listed)
        if value is None:
            return " # " + (match["odd"] or "")
        found.append(value)
        lead = " " if match[0].startswith(" ") else ""
        return f"{lead}<{len(found) - 1}>"

    return _NUMBER.sub(replace, text), found


def _value(match: re.Match[str], text: str, listed: float) -> float | None:
    value = float(match["num"].replace(",", ""))
    scale = (match["k"] or "").strip()
    value *= {"": 1, "hundred": 100}.get(scale, 1000)
    if match["odd"] or not 0 < value < 1e8:
        return None
    if match["cur"] or match["unit"]:
        return round(value, 2)
    left, right = text[max(0, match.start() - 20) : match.start()].rstrip(), text[match.end() : match.end() + 20]
    if not listed / 20 <= value <= listed * 20:
        return None
    if scale:
        return round(value, 2)
    if 1950 <= value <= 2040 and "." not in match["num"] and "," not in match["num"] and _YEAR.search(left):
        return None
    left = left.rstrip("~\"'( ")
    if not (_BARE_LEFT.search(left) or left[-1:] in ",.!?;:-"):
        return None
    return round(value, 2) if _FOLLOWS.match(right) else None


_PER = re.compile(r"^ ?(?:bill|bills|deposit|each|apiece|per|an? (?:hour|month|week|day|piece))\b")
_CHANGING = re.compile(r"\b(?:knock|come|go|drop|take|reduce|lower|add|raise|shave|cut|bump)\b")
_ATTRIBUTE = re.compile(r"^ (?!offer|price|bid|deal|for|is|and|or|in|if|on|at|to|but|as|cash)[a-z]+")
_THAN = re.compile(
    r"\b(?:than|instead of|rather than|down from|up from|from|unlike|compared (?:to|with)|versus|vs)(?: the| your| my)? ?$"
)
_CHANGE_LEFT = re.compile(
    r"\b(?:by|another|extra|additional|plus|knock|knocking|knocked|shave|save|saves|saving|discount of|reduction of|come down|go down|difference of|increase of|add|adding|extra|within)(?: about| just| only| the)? ?$"
)
_CHANGE_RIGHT = re.compile(
    r"^ ?(?:dollars? )?(?:less|more|off|discount|extra|short|apart|cheaper|difference|higher|lower|on top)\b"
)
_ACCESSORY = ["delivery", "shipping", "gas", "petrol", "helmet", "lock", "extras", "accessories", "repair", "repairs", "service", "tune-up", "parts", "lessons", "warranty", "battery", "case", "bag", "installation", "insurance", "parking", "postage", "pump", "lamp", "lights", "cover", "cable", "stand", "fuel", "trip", "drive", "moving"]
_FOR_EXTRA = re.compile(
    rf"^ (?:more )?(?:for|on|in|of) (?:the |a |an |my |your |some |new )*(?:\w+ )?({'|'.join(_ACCESSORY)})\b"
)
_FOR_EXTRA_LEFT = re.compile(
    rf"\b({'|'.join(_ACCESSORY)}) (?:is|are|was|costs?|would be|would cost|for|at|worth)(?: about| around)? ?$"
)
_YOU_SAID = re.compile(
    r"(?<!if )(?<!would )(?<!could )(?<!can )(?<!will )\byou(?:'ve|'d)?(?: had| have| just| also| only| already| originally| first| initially| yourself)* "
    r"(?:said|offered|mentioned|asked|wanted|proposed|suggested|quoted|named|want|ask|told|advertised|posted|listed)\b"
    r"|\byou(?:'re| are| were) (?:\w+ )?(?:asking|offering|proposing|suggesting|at)\b|\byour (?:\w+ ){0,2}(?:price|offer|ask|proposal|number|figure|counter|counteroffer|suggestion)\b|\byour(?: \w+)? ?$"
)
_NAMED_RIGHT = re.compile(
    r"^ ?(?:that |which )?you(?:'ve|'d)? (?:just |already |first |originally )?(?:said|offered|mentioned|asked|wanted|proposed|suggested|quoted|named|want|are|were)\b|^ (?:offer|price|proposal|you)\b"
)
_PAST = re.compile(
    r"\b(?:paid|bought|cost me|costs?(?! you)|costing|worth|valued|value is|retails?|retailed|retailing|originally|original price|new ones?|brand[- ]new|sells|sold (?:one|it|mine|another|for|at)|goes for|going (?:rate|price)|went for|"
    r"listed|listing|list price|spent|spend|usually|typically|normally|someone|somebody|another (?:buyer|seller|person|guy|offer|store|shop)|other (?:buyers?|sellers?|offers?|people|person)|they|he|she|online|elsewhere|stores?|shops?|market|"
    r"saw|seen|found|similar|saved|bring|repairs?|fix|fixing|invested|the asking price|asking price (?:is|was|of)|price (?:was|used to be)|was priced|fee|tax|estimate[ds]?|appraised|budget)\b"
)
_NOT_PAST = re.compile(
    r"\b(?:cost you|i'm asking|i am asking|my asking|i could have|let you have|you (?:can|could|may) have|have it|have to (?:ask|get|have|say|be)|i have to|i'd have to|you have to|you'd have to|i'll have|happy to have|have you|i(?:'ll| will| can| could|'d| would) go for)\b"
)
_WILLING = re.compile(
    r"\b(?:most|best|highest|lowest|least|furthest|cheapest|final|max|maximum|minimum)\b.*\b(?:do|go|offer|pay|take|accept|give|spare|manage|get|price|number|bid|sell)\b|\b(?:up to|as (?:low|high|far) as|down to|at least|stretch to|meet you at|come (?:up|down) to|go (?:up )?to)\b"
)
_LIMIT = re.compile(
    r"\b(?:above|over|below|under|beneath|beyond|past|exceed|more than|less than|lower than|higher than|no more than|no less than|max(?:imum)? is|minimum is|limit is|budget (?:is|of)|limit of|floor is|maximum of|minimum of|lower|higher)(?: than)? ?$"
    r"|\bi (?:only |just )?(?:have|'ve got)\b|\bmy (?:\w+ )?(?:budget|limit|max|maximum|minimum|floor)\b|\bi've (?:only |just )?got\b"
)
_LIMIT_RIGHT = re.compile(
    r"^ (?:is|would be) (?:\w+ )?my (?:\w+ )?(?:limit|max|maximum|budget|minimum|floor|ceiling)\b|^ (?:budget|limit)\b"
)
_NEGATED = re.compile(
    r"\b(?:not|never|cannot|no way|nowhere near|unable to|refuse|impossible|no|hardly|insult\w*|too much at)\b|n't\b"
)
_REFUSED_RIGHT = re.compile(
    r"^ ?(?:dollars )?(?:is|was|seems|would be|sounds|feels|'s|looks|for (?:it|this|that|the \w+) is|might be|may be)? ?(?:just |still |a bit |a little |way |far |much |really |simply |quite |pretty |also |rather |honestly |actually |definitely |certainly |very )*"
    r"(?:too|a lot|a bit much|pushing|more than|less than|not|n't|isn't|out of|beyond|above|below|under|won't|doesn't|don't|wouldn't|can't|cannot|never|steep|high|low|unfair|expensive|an insult|insulting|ridiculous|lowball|tough|hard|difficult|impossible)\b"
)
_GONE_RIGHT = re.compile(
    r"^ ?(?:offer |price )?(?:is|was|'s)? ?(?:now |no longer |not )?(?:off the table|back|a mistake|withdrawn|available anymore|on the table anymore|on the table)\b"
)
_GONE_LEFT = re.compile(r"\b(?:forget|withdraw|withdrawing|take back|scratch|changed my mind about)\b")
_WISH = re.compile(
    r"\b(?:wanted|hoped|hoping|was thinking|expected|expecting|would have|i'd have|would've|preferred|prefer|would like|i'd like|i'd love|ideally|dream)\b"
)
_JOIN = re.compile(r"^ ?(?:-|to|or|and|/|; )(?: even| maybe| perhaps)? ?$")


def _sense(left: str, right: str, question: bool) -> Sense:
    """What an amount means between the words `left` and `right` of its clause."""
    asked = IDIOMS.sub(" ", left + ("?" if question else "")).rstrip("?")
    negated = bool(_NEGATED.search(asked))
    if _GONE_RIGHT.match(right) or (_GONE_LEFT.search(left) and not negated):
        return Sense.GONE
    if _CHANGE_LEFT.search(left) or _CHANGE_RIGHT.match(right):
        return Sense.CHANGE if question or _CHANGING.search(left) else Sense.OTHER
    if _PER.match(right) or (_ATTRIBUTE.match(right) and re.search(r"\b(?:an?|this)$", left)):
        return Sense.OTHER
    if _FOR_EXTRA.match(right) or _FOR_EXTRA_LEFT.search(left):
        return Sense.OTHER
    if _YOU_SAID.search(left) or (
        _NAMED_RIGHT.match(right) and re.search(r"\b(?:the|that|your|at|for)$", left.strip())
    ):
        return Sense.NAMED
    if _WILLING.search(left) and not negated:
        return Sense.REFUSED if _REFUSED_RIGHT.match(right) else Sense.OFFER
    if _LIMIT.search(asked) or _LIMIT_RIGHT.match(right):
        return Sense.LIMIT
    if _THAN.search(left):
        return Sense.OTHER
    if negated or (_REFUSED_RIGHT.match(right) and not (question and left.strip() in ("would", "is"))):
        return Sense.REFUSED
    if _PAST.search(_NOT_PAST.sub(" ", left)):
        return Sense.OTHER
    return Sense.WISH if _WISH.search(left) else Sense.OFFER


def _amounts(parts: tuple[Clause, ...], values: list[float]) -> tuple[list[Amount], bool]:
    """Every amount with its sense; and whether two of them are the ends of a range."""
    found: list[Amount] = []
    ranged = False
    for index, part in enumerate(parts):
        marks = list(_MARK.finditer(part.text))
        for number, mark in enumerate(marks):
            start = marks[number - 1].end() if number else 0
            end = marks[number + 1].start() if number + 1 < len(marks) else len(part.text)
            left, right = part.text[start : mark.start()], part.text[mark.end() : end]
            sense = _sense(left.rstrip(), right, part.question)
            joined = number > 0 and bool(_JOIN.match(left))
            if joined and found[-1].sense not in (Sense.OFFER, Sense.CHANGE):
                sense = found[-1].sense
            if joined and sense is found[-1].sense is Sense.OFFER and left.strip() in ("-", "to", "and", "/", ";"):
                ranged = left.strip() != "and" or "between" in part.text
            either = bool(re.search(r"\bor\b", left) if number else part.text.startswith("or "))
            found.append(Amount(values[int(mark[1])], sense, index, either))
    return found, ranged


_MIDDLE = re.compile(
    r"\b(?:split the difference|meet (?:you )?(?:in the middle|halfway|half way|half-way)|(?:go|call it) halfway)\b"
)


def read_price(side: PriceSide, text: str, deed: bool, own: tuple[Terms, ...], other: tuple[Terms, ...]) -> Said:
    """What a turn says about the price of `side.item`; `own` and `other` are what the two roles offer so far.

    Of several amounts offered in a turn the last is the offer, unless "or" makes them alternatives.
    """
    marked, values = _mark(spell(clean(text)), side.listed)
    parts = clauses(marked)
    cues = read_cues(parts, deed)
    amounts, ranged = _amounts(parts, values)
    accepts = cues.accept_at >= 0
    offers = _offered(amounts, parts, cues)
    proposed: tuple[Terms, ...] = () if ranged else tuple(amount.dollars for amount in offers)
    if not values and _MIDDLE.search(marked):
        proposed = _middle(own, other)
    last = parts[offers[-1].clause] if offers else None
    gone = tuple(amount.dollars for amount in amounts if amount.sense is Sense.GONE)
    return Said(
        offers=proposed,
        named=tuple(a.dollars for a in amounts if a.sense is Sense.NAMED) if accepts or cues.weak else (),
        gone=gone,
        vague="a range of prices was named" if ranged else None if proposed else _vague(amounts, own, parts),
        reopens=ranged or any(amount.sense is Sense.CHANGE for amount in amounts),
        accepts=accepts,
        weak=cues.weak,
        conditional=_has_condition(last, parts) if last else cues.conditional,
        refuses=cues.refuses or any(amount.sense is Sense.REFUSED for amount in amounts),
        withdraws=cues.withdraw_at >= 0 or bool(gone),
        ends=cues.ends,
        echo=last is not None and last.question and bool(_ECHO.match(last.text)),
        settles=last is not None and not last.question and cues.opens_weakly,
        asks_assent=cues.asks_assent,
        asks_else=cues.asks_else,
    )


_ECHO = re.compile(r"^(?:(?:so|what|really|wow|hm+|only|just) )*<\d+>(?: for (?:an?|the|that|this|it)(?: \w+){0,3})?$")
_SEPARATES = re.compile(r"^(?:but|ok|okay|fine|alright|all right|well|yes|yeah|however|still|anyway|though|although)\b")


def _offered(amounts: list[Amount], parts: tuple[Clause, ...], cues: Cues) -> list[Amount]:
    """The amount offered in the turn, or the alternatives. "I hoped for 200, but okay, deal" offers nothing."""
    senses = (Sense.OFFER,) if cues.accept_at >= 0 or any(a.sense is Sense.OFFER for a in amounts) else (Sense.WISH,)
    offers = [amount for amount in amounts if amount.sense in senses]
    if cues.accept_at >= 0 and offers and offers[-1].clause < cues.accept_at:
        between = parts[offers[-1].clause + 1 : cues.accept_at + 1]
        if any(_SEPARATES.match(part.text) for part in between):
            return []
    first = len(offers) - 1
    while first > 0 and offers[first].alternative:
        first -= 1
    return offers[max(first, 0) :]


_IF = re.compile(
    r"\b(?:if|provided|as long as|so long as|assuming|on (?:the |one )?condition|only when|contingent|unless)\b"
)


def _has_condition(offer: Clause, parts: tuple[Clause, ...]) -> bool:
    """Whether the offer asks for something besides the price; "if you can do 200" asks for the price alone."""
    if not offer.conditional:
        return False
    for part in parts:
        condition = _IF.search(part.text) if part.sentence == offer.sentence else None
        if condition:
            return "<" not in part.text[condition.end() :]
    return False


def _middle(own: tuple[Terms, ...], other: tuple[Terms, ...]) -> tuple[Terms, ...]:
    if not own or not other or not isinstance(own[-1], float) or not isinstance(other[-1], float):
        return ()
    return (round((own[-1] + other[-1]) / 2, 2),)


def _vague(amounts: list[Amount], own: tuple[Terms, ...], parts: tuple[Clause, ...]) -> str | None:
    """Why accepting the turn would not settle a price, where that is so."""
    for amount in reversed(amounts):
        if amount.sense is Sense.LIMIT and amount.dollars not in own:
            return "only a limit was named"
        if amount.sense is Sense.CHANGE:
            return "only a difference in price was named"
        if (
            amount.sense is Sense.OTHER
            and not own
            and re.search(r"\b(?:listed|listing|list|asking)\b", parts[amount.clause].text)
        ):
            return "the price was mentioned, not offered"
    return None
