"""Reading a choice among options: which times or places a turn proposes, and which it rules out.

An option counts as mentioned by its whole name or by a part that no other option shares ("Tuesday", "the library").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from sotopia_pi.episodes.reading.cues import IDIOMS, read_cues
from sotopia_pi.episodes.reading.terms import Said, Terms
from sotopia_pi.episodes.reading.words import NUMBERS, Clause, clauses, clean
from sotopia_pi.world.checks import MeetingSide

_DAYS = {
    "monday": "mon", "tuesday": "tues|tue", "wednesday": "weds|wed", "thursday": "thurs|thur|thu",
    "friday": "fri", "saturday": "", "sunday": "",
}  # fmt: skip
_DAY_FORMS = [
    (re.compile(rf"\b(?:{day}|{short})(?:'?s)?\b" if short else rf"\b{day}(?:'?s)?\b"), day)
    for day, short in _DAYS.items()
]
_HOUR_WORDS = {word: value for word, value in NUMBERS.items() if 1 <= value <= 12} | {"noon": 12, "midday": 12}
_CLOCK = re.compile(
    r"\b(?P<hour>\d{1,2})(?:(?::|\.|h)(?P<minute>[0-5]\d))? ?(?P<half>a\.?m\b\.?|p\.?m\b\.?|"
    r"o'clock(?P<part> in the (?:morning|afternoon|evening))?|hours\b)?(?!\d|%)"
)
_WORD_CLOCK = re.compile(
    rf"\b(?:at |by )?({'|'.join(_HOUR_WORDS)})\b(?: (o'clock|thirty|a\.?m\b|p\.?m\b)( in the (?:morning|afternoon|"
    rf"evening))?)?"
)
_STOP = {"the", "a", "an", "at", "of", "in", "on", "near", "by", "and", "to", "my", "your"}


def _clock(hour: int, minute: int, half: str, hours: frozenset[str]) -> str:
    """A clock time as "t" and four digits; an hour up to 12 without a.m. or p.m. is taken for a known one."""
    if half.startswith("p") and hour < 12:
        hour += 12
    elif half.startswith("a") and hour == 12:
        hour = 0
    name = f"t{hour:02d}{minute:02d}"
    later = f"t{hour + 12:02d}{minute:02d}"
    return later if not half and name not in hours and hour < 12 and later in hours else name


def _times(text: str, hours: frozenset[str]) -> str:
    """The text with every clock time as one word."""

    def digits(match: re.Match[str]) -> str:
        half = (match["half"] or "").strip(".")
        bare = not match["minute"] and not half
        if int(match["hour"]) > 24 or (
            bare
            and not re.search(
                r"(?:\bat|\bto|\bor|\baround|\bfor|day|days|\bthe|\bmake it|\bsay) $", text[: match.start()][-14:]
            )
        ):
            return match[0]
        if match["part"]:
            half = "a" if "morning" in match["part"] else "p"
        return (
            " "
            + _clock(int(match["hour"]), int(match["minute"] or 0), "" if half.startswith(("o", "h")) else half, hours)
            + " "
        )

    def words(match: re.Match[str]) -> str:
        word, unit = match[1], match[2] or ""
        if not unit and not match[0].startswith(("at ", "by ")) and word not in ("noon", "midday"):
            return match[0]
        half = (
            unit
            if unit[:1] in ("a", "p")
            else {"": ""}.get(match[3] or "", "a" if "morning" in (match[3] or "") else "p")
        )
        lead = "at " if match[0].startswith("at ") else ""
        return lead + " " + _clock(_HOUR_WORDS[word], 30 if unit == "thirty" else 0, half, hours) + " "

    return _WORD_CLOCK.sub(words, _CLOCK.sub(digits, text))


@dataclass(frozen=True)
class _Options:
    """The options of a meeting as words: what each is made of, and which options have a word."""

    names: tuple[str, ...]
    having: dict[str, frozenset[int]]
    hours: frozenset[str]
    pattern: re.Pattern[str]


@lru_cache(maxsize=256)
def _options(names: tuple[str, ...]) -> _Options:
    having: dict[str, set[int]] = {}
    for index, name in enumerate(names):
        for word in re.findall(r"[^\W_]+", _days(_times(clean(name), frozenset()))):
            if word not in _STOP:
                having.setdefault(word, set()).add(index)
    hours = frozenset(word for word in having if re.fullmatch(r"t\d{4}", word))
    words = set(having)
    if hours or words & set(_DAYS):
        words |= set(_DAYS)
    pattern = re.compile(
        r"\b(?:"
        + "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
        + (r"|t\d{4}" if hours else "")
        + r")\b"
    )
    return _Options(names, {word: frozenset(found) for word, found in having.items()}, hours, pattern)


def _days(text: str) -> str:
    for form, day in _DAY_FORMS:
        text = form.sub(day, text)
    return text


def _category(word: str) -> str:
    if word in _DAYS:
        return "day"
    return "time" if re.fullmatch(r"t\d{4}", word) else word


@dataclass
class _Mention:
    """A stretch of a clause that names options: those it may mean, and its kinds of words."""

    options: frozenset[int]
    categories: set[str]
    start: int
    end: int


def _mentions(clause: str, options: _Options) -> list[_Mention]:
    found: list[_Mention] = []
    for match in options.pattern.finditer(clause):
        having, kind = options.having.get(match[0], frozenset()), _category(match[0])
        last = found[-1] if found else None
        near = (
            last is not None
            and match.start() - last.end <= 16
            and not re.search(r"\b(?:or|and|than)\b", clause[last.end : match.start()])
        )
        if (
            last is not None
            and near
            and kind not in last.categories
            and (kind in ("day", "time") or last.options & having)
        ):
            last.options, last.end = last.options & having, match.end()
            last.categories.add(kind)
        else:
            found.append(_Mention(having, {kind}, match.start(), match.end()))
    return [mention for mention in found if mention.options and _plausible(clause, mention, options)]


def _plausible(clause: str, mention: _Mention, options: _Options) -> bool:
    """Whether one word of a longer name, which may be an everyday word, stands like a name."""
    if mention.categories & {"day", "time"} or len(mention.categories) > 1:
        return True
    word = clause[mention.start : mention.end]
    if all(sum(index in having for having in options.having.values()) == 1 for index in mention.options):
        return True
    before = clause[: mention.start].split()
    return (
        bool(before) and before[-1] in ("the", "at", "to", "in", "that", "or", "about", "this")
    ) or clause.strip() == word


_NEGATIVE = re.compile(
    r"\b(?:not|never|cannot|nor|neither|except|rather than|instead of|than|unavailable|busy|booked|class|shift|"
    r"appointment|tied up|away|out of town|working|dentist|"
    r"hard|harder|difficult|tough|tricky|bad|worst|worse|inconvenient|tight|impossible|conflicts?|awkward|"
    r"problem(?:atic)?|out|avoid|unless|rule|crowded|noisy|loud|closed|far|too|no)\b|n't\b"
)
_FINE = re.compile(
    r"\b(?:isn't|not|n't|never|no) (?:\w+ )?(?:bad|far|busy|difficult|hard|tough|(?:a |any )?(?:problem|conflicts?)|"
    r"out|too (?:far|bad|late|early)|impossible)\b|\bhang(?:ing)? out\b|\bwork(?:s|ed)? out\b|\bfind out\b|"
    r"\bfigure out\b"
)
_ALL_BUT = re.compile(r"\b(?:any|every|all)\w*(?: \w+)? (?:but|except)\b")
_BESIDE = re.compile(r"\b(?:before|after|until|since|till)(?: the)? $")
_QUOTES = re.compile(
    r"\byou(?:'ve|'d)?(?: just| already)? (?:said|offered|mentioned|proposed|suggested|wanted|asked|preferred|can't|"
    r"cannot|don't)\b"
)
_EITHER = re.compile(
    r"\b(?:either|both|any)\b.{0,24}\b(?:works?|fine|good|okay|ok|suits?|do|great)\b|\bwhichever\b|\byou (?:pick|"
    r"choose|decide)\b|\byour (?:pick|choice)\b|\bup to you\b"
)
_SETTLES = re.compile(r"\b(?:then|it is|let's|deal|agreed|go with|settled?|final)\b")


def _split(parts: tuple[Clause, ...], options: _Options) -> tuple[list[str], list[str], list[frozenset[int]]]:
    """Options proposed, options ruled out, and mentions that may mean several options."""
    proposed: list[str] = []
    ruled_out: list[str] = []
    unclear: list[frozenset[int]] = []
    for part in parts:
        text = _FINE.sub(" ", IDIOMS.sub(" ", part.text + ("?" if part.question else "")))
        negative = _NEGATIVE.search(text)
        quoted = _QUOTES.search(part.text)
        for mention in _mentions(text, options):
            names = [options.names[index] for index in sorted(mention.options)]
            better = (
                negative is not None
                and negative[0] in ("than", "rather than", "instead of")
                and mention.end <= negative.start()
            )
            if negative and not better:
                ruled_out.extend(names if len(names) == 1 else ())
            elif quoted or _BESIDE.search(text[: mention.start]):
                continue
            elif len(names) == 1:
                proposed.extend(name for name in names if name not in proposed)
            else:
                unclear.append(mention.options)
    return [name for name in proposed if name not in ruled_out or _last(parts, options) == name], ruled_out, unclear


def _last(parts: tuple[Clause, ...], options: _Options) -> str | None:
    mentions = [mention for part in parts for mention in _mentions(part.text, options)]
    return options.names[min(mentions[-1].options)] if mentions and len(mentions[-1].options) == 1 else None


def _one_of(possible: frozenset[str], terms: Terms) -> bool:
    return terms in possible


def read_meeting(side: MeetingSide, text: str, deed: bool, own: tuple[Terms, ...], other: tuple[Terms, ...]) -> Said:
    """What a turn says about `side.options`; `own` and `other` are what the two roles offer so far."""
    options = _options(side.options)
    parts = clauses(_ALL_BUT.sub("not", _days(_times(clean(text), options.hours))))
    cues = read_cues(parts, deed)
    proposed, ruled_out, unclear = _split(parts, options)
    accepts = cues.accept_at >= 0
    gone = tuple(name for name in ruled_out if name in own or (cues.withdraw_at >= 0))
    fits: Callable[[Terms], bool] | None = None
    vague = None
    if not proposed and unclear:
        fits, vague = (
            partial(_one_of, frozenset(side.options[i] for i in unclear[-1])),
            "several options match the words",
        )
    if not proposed and len(other) > 1 and any(_EITHER.search(part.text) for part in parts):
        proposed = [str(terms) for terms in other if terms not in ruled_out]
    only_ruled_out = bool(ruled_out) and not proposed
    return Said(
        offers=tuple(proposed),
        gone=gone,
        vague=vague,
        fits=fits,
        accepts=(accepts and not only_ruled_out) or (vague is not None and _settles(parts)),
        weak=cues.weak,
        conditional=cues.conditional and not proposed,
        refuses=(cues.refuses and not proposed) or any(name in other for name in ruled_out),
        withdraws=cues.withdraw_at >= 0 or bool(gone),
        ends=cues.ends and not proposed,
        echo=not deed and _is_echo(parts, options),
        settles=_settles(parts),
        asks_assent=cues.asks_assent,
        asks_else=cues.asks_else and not options.pattern.search(parts[-1].text),
    )


def _settles(parts: tuple[Clause, ...]) -> bool:
    return any(_SETTLES.search(part.text) and not part.question for part in parts)


_PROPOSES = re.compile(
    r"\b(?:works?|good|fine|ok|okay|great|perfect|free|possible|suits?|prefer|like|love|rather|about|let's|let us|"
    r"see you|"
    r"there|could|can|would|will|shall|then|yes|deal|agreed?|choose|choice|pick|take|go|meet|best|better|offer|"
    r"propose|suggest|"
    r"make it|it is|say|stay|instead|happy|available|we (?:said|had)|i'm in|sure|settled?)\b"
)


def _is_echo(parts: tuple[Clause, ...], options: _Options) -> bool:
    """Whether options are only mentioned: asked about, or without a word that proposes them."""
    naming = [part for part in parts if _mentions(part.text, options)]
    if any(_PROPOSES.search(part.text) for part in naming):
        return False
    return bool(naming) and all(part.question or len(options.pattern.sub("", part.text).split()) > 1 for part in naming)
