"""What a verified kind of task offers: it draws, explains, parses terms, says what they are worth, and scores.

Words negotiate, terms decide. Both roles declare terms beside their words; two consecutive turns with equal terms are
an agreement (`agreement`), and scores are a function of the agreement alone. A kind is one subclass of `Environment`
in one file, found by its name through `registry`.

Three records per kind: a check (frozen, both roles' private numbers), a side of it (frozen and hashable, one role's
own numbers and what both know; the only part a view may carry), and terms (hashable, in one canonical form that is the
same for both roles).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from operator import mul
from random import Random
from typing import Any, Generic, Literal, Protocol, Self, TypeVar, get_args, get_origin

from sotopia_pi.environments.styles import Style
from sotopia_pi.models.answers import AnswerError, Cause
from sotopia_pi.records import Record

GOAL, FIN = "goal", "financial_and_material_benefits"
Scores = dict[str, float]
Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
#: Longer terms are refused unread.
MAX_TERMS = 200
#: How views show that a turn declared nothing; models that write it declare nothing.
NO_TERMS = "none"
_EPSILON = 1e-9


class TermsError(AnswerError):
    """Terms or the words beside them break a rule; the message says which, for whoever wrote them."""

    def __init__(self, message: str, cause: Cause = Cause.TERMS) -> None:
        super().__init__(message, cause)


class SideOfCheck(Hashable, Protocol):
    """What every side has: whose it is."""

    @property
    def role(self) -> int:
        """The role whose side this is."""
        ...


S = TypeVar("S", bound=SideOfCheck)
T = TypeVar("T", bound=Hashable)


Role = Literal[0, 1]
"""The type of a check's field that says which role has a part, such as the seller."""


class Check(Record):
    """What makes a scenario verified: both roles' private numbers, with room for an agreement."""

    kind: str

    def side(self, role: int) -> Any:
        """What `role` may know of this check."""
        raise NotImplementedError

    def mirrored(self) -> Self:
        """The same check with the roles exchanged: what was role 0's is role 1's.

        It follows from the types of the fields: a `Role` is the other one, and of a tuple of two, as in
        `tuple[float, float]`, each value is a role's. A kind whose fields mean something else overrides this.
        """
        changed: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value, kind, parts = getattr(self, name), get_origin(field.annotation), get_args(field.annotation)
            if kind is Literal and set(parts) == {0, 1}:
                changed[name] = 1 - value
            elif kind is tuple and len(parts) == 2 and parts[1] is not Ellipsis:
                changed[name] = value[::-1]
        return self.model_copy(update=changed)


class CheckOf(Check, Generic[S]):
    """A check whose sides are of one type."""

    def side(self, role: int) -> S:
        """What `role` may know of this check."""
        raise NotImplementedError


C = TypeVar("C", bound=CheckOf[Any])

Heard = Sequence[tuple[int, T | None]]
"""The turns so far: who declared which terms, None for a turn without."""


@dataclass(frozen=True, slots=True)
class Agreement(Generic[T]):
    """Terms agreed on, and the index of the turn that made them an agreement."""

    terms: T
    turn: int


def agreement(turns: Heard[T]) -> Agreement[T] | None:
    """The first two consecutive turns, by different roles, with equal terms; what follows them changes nothing."""
    for index in range(1, len(turns)):
        (before, offered), (role, terms) = turns[index - 1], turns[index]
        if terms is not None and terms == offered and role != before:
            return Agreement(terms, index)
    return None


Claim = tuple[str, Hashable]
"""What words can say of terms: an issue and its value, as ("price", 230.0) or ("coin", 2)."""


@dataclass(frozen=True, slots=True)
class Mentions:
    """What words mention: `sure` beyond doubt, `maybe` where it could be about something else (a bare number)."""

    sure: frozenset[Claim] = frozenset()
    maybe: frozenset[Claim] = frozenset()


@dataclass(frozen=True, slots=True)
class NumberField:
    """A number in a form."""

    name: str
    label: str
    low: float
    high: float
    step: float = 1


@dataclass(frozen=True, slots=True)
class ChoiceField:
    """A choice in a form."""

    name: str
    label: str
    options: tuple[str, ...]


Field = NumberField | ChoiceField


class Move(StrEnum):
    """What a scripted player does on its turn; each move has sentences of its own."""

    OPEN = "open"
    COUNTER = "counter"
    HOLD = "hold"
    ACCEPT = "accept"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Offer(Generic[T]):
    """A scripted player's next turn: a move, and the terms it declares (None when it leaves)."""

    move: Move
    terms: T | None = None


class Environment(ABC, Generic[C, S, T]):
    """A verified kind. Everything is a pure function of its arguments."""

    kind: str
    check_type: type[C]

    @abstractmethod
    def entries(self, split: Split) -> Sequence[str]:
        """What scenarios of a split can be about; splits share none."""

    @abstractmethod
    def draw(self, rng: Random, split: Split, entry: str) -> C:
        """A check about `entry`, with room for both roles."""

    @abstractmethod
    def situation(self, check: C) -> str:
        """What both know, in words."""

    @abstractmethod
    def goal(self, side: S) -> str:
        """The goal of one role: its private numbers, and nothing else, in words."""

    @abstractmethod
    def notation(self, side: S) -> str:
        """How terms are written, in one line for the system prompt."""

    @abstractmethod
    def read(self, side: S, text: str) -> T:
        """Terms from text in this role's notation. TermsError."""

    def read_object(self, side: S, value: Mapping[str, Any]) -> T:
        """Terms from an object with one value for each control of the form, {issue: value}. TermsError."""
        names = [field.name for field in self.form(side)]
        if value.keys() != set(names) or any(isinstance(part, Mapping | list) for part in value.values()):
            raise TermsError(f"an object has one value for each of {joined(names)}; or write {self.notation(side)}")
        return self.parse(side, ", ".join(str(value[name]) for name in names))

    #: Whether a bare number can be terms.
    numbers = False
    #: The JSON schema of `terms`, for servers that hold replies to one; an empty text declares nothing.
    schema: Mapping[str, Any] = {"type": "string"}

    @abstractmethod
    def write(self, side: S, terms: T) -> str:
        """Terms in this role's notation; `read` gives the same terms back."""

    def words(self, side: S, terms: T) -> str:
        """Terms as part of a sentence, naming them in full."""
        return self.write(side, terms)

    @abstractmethod
    def claims(self, side: S, terms: T) -> tuple[frozenset[Claim], ...]:
        """Ways to name the terms: words must mention everything in at least one of them."""

    @abstractmethod
    def mentions(self, side: S, words: str) -> Mentions:
        """What words mention."""

    def known(self, side: S) -> frozenset[Claim]:
        """What words may always mention besides the terms, such as a listed price."""
        return frozenset()

    @abstractmethod
    def form(self, side: S) -> tuple[Field, ...]:
        """The controls with which a person picks terms; `read_object` reads the filled form."""

    def within(self, side: S, terms: T) -> bool:
        """Whether the terms are within this role's own limit; an agreement outside it scores the role 0."""
        return True

    @abstractmethod
    def points(self, check: C, role: int, terms: T) -> float:
        """GOAL of an agreement within the role's limit, by the kind's formula; 0 to 10."""

    #: Whether what is agreed is wealth, so that FIN is half of the points where nothing else is said.
    material = False

    def benefits(self, check: C, role: int, terms: T) -> float | None:
        """FIN of an agreement, -5 to 5; None where it does not follow."""
        return self.points(check, role, terms) / 2 if self.material else None

    @abstractmethod
    def outcomes(self, check: C) -> Iterable[T]:
        """Agreements among which the best for both together is found."""

    @abstractmethod
    def worth(self, side: S, terms: T) -> float:
        """What terms are worth to a script: 1 the dream, 0 the worst worth having, below 0 outside the limit."""

    @abstractmethod
    def candidates(self, side: S) -> tuple[T, ...]:
        """The terms that a script may propose, within its limit."""

    def gains(self, side: S, terms: T) -> tuple[float, ...]:
        """How much the partner gets on each issue, 0 to 1; from it a script guesses what the partner wants."""
        return (1 - self.worth(side, terms),)

    def appeal(self, side: S, heard: Heard[T]) -> Callable[[T], float]:
        """An opponent model: how much the partner is likely to like terms, judged by what it asked for."""
        theirs = [_gains(self, side, terms) for role, terms in heard if role != side.role and terms is not None]
        weights = [0.3 + sum(gains) / len(theirs) for gains in zip(*theirs, strict=True)] if theirs else None

        def liked(terms: T) -> float:
            gains = _gains(self, side, terms)
            return sum(map(mul, gains, weights)) if weights else sum(gains)

        return liked

    def fresh(self, terms: T, before: Sequence[T]) -> bool:
        """Whether a partner that proposes this after those tries something new, which no script holds against it."""
        return False

    def script(self, side: S, style: Style, heard: Heard[T], rng: Random) -> Offer[T] | None:
        """The next turn of a scripted player where the common negotiator would not do; None leaves it to that."""
        return None

    def propose(self, side: S, style: Style, heard: Heard[T], demand: float) -> T | None:
        """What a scripted player proposes where the common choice would not do; None leaves it to that."""
        return None

    def fills(self, side: S) -> dict[str, str]:
        """What templates of sentences may use, as {item}; "part" names the role's part, as "seller"."""
        return {"part": "any"}

    # What follows from these is the same for all kinds.

    def parse(self, side: S, value: object) -> T:
        """Terms from what stands in a reply: text, a number or an object. TermsError."""
        if isinstance(value, Mapping):
            return self.read_object(side, value)
        if isinstance(value, int | float) and not isinstance(value, bool) and self.numbers:
            value = f"{value:.2f}".removesuffix(".00") if abs(value) < 1e12 else "0"
        if not isinstance(value, str):
            raise TermsError(f"write the terms as text: {self.notation(side)}")
        if len(value) > MAX_TERMS:
            raise TermsError(f"terms have at most {MAX_TERMS} characters: {self.notation(side)}")
        if any(char.isdigit() and not char.isascii() for char in value):
            raise TermsError(f"write numbers with the digits 0 to 9: {self.notation(side)}")
        return self.read(side, " ".join(value.split()).rstrip("."))

    def declared(self, side: S, value: object) -> T | None:
        """`parse`, or None where nothing is declared: null, "none", or nothing but white space. TermsError."""
        nothing = value is None or (isinstance(value, str) and value.strip().lower() in ("", NO_TERMS))
        return None if nothing else self.parse(side, value)

    def named(self, side: S, terms: T, words: str) -> bool:
        """Whether the words name the terms."""
        mentioned = self.mentions(side, words)
        return any(claims <= mentioned.sure | mentioned.maybe for claims in self.claims(side, terms))

    def contradicted(self, side: S, terms: T, words: str, heard: Heard[T]) -> bool:
        """Whether the words mention, beyond doubt, what is neither in the terms nor on the table.

        On the table are all terms declared so far by either role, and what is always known.
        """
        allowed = set(self.known(side))
        for declared in (terms, *(earlier for _, earlier in heard if earlier is not None)):
            allowed.update(*self.claims(side, declared))
        return not self.mentions(side, words).sure <= allowed

    def check_words(self, side: S, terms: T, words: str, heard: Heard[T]) -> None:
        """Raises TermsError where words contradict the terms, or do not name those of a proposal."""
        accepts = bool(heard) and heard[-1] == (1 - side.role, terms)
        if not accepts and not self.named(side, terms, words):
            raise TermsError(f"your words must name your terms, {self.words(side, terms)}", Cause.UNNAMED)
        if self.contradicted(side, terms, words, heard):
            raise TermsError(
                f"your words name other terms than you declare ({self.write(side, terms)}); "
                "name only those, or what was proposed before",
                Cause.OTHER_TERMS,
            )

    def scores(self, check: C, terms: T | None) -> tuple[Scores, Scores]:
        """Both roles' scores for an agreement on `terms`, None for no agreement. A function of nothing else."""
        first, second = (self._scores(check, role, terms) for role in (0, 1))
        return first, second

    def _scores(self, check: C, role: int, terms: T | None) -> Scores:
        if terms is None:
            probe = next(iter(self.outcomes(check)))
            return {GOAL: 0.0} if self.benefits(check, role, probe) is None else {GOAL: 0.0, FIN: 0.0}
        goal = self.points(check, role, terms) if self.within(check.side(role), terms) else 0.0
        scores = {GOAL: min(max(goal, 0.0), 10.0)}
        benefits = self.benefits(check, role, terms)
        return scores if benefits is None else {**scores, FIN: min(max(benefits, -5.0), 5.0)}

    def together(self, check: C, terms: T) -> float:
        """Both roles' GOAL together; 0 outside a limit."""
        if not all(self.within(check.side(role), terms) for role in (0, 1)):
            return 0.0
        return sum(scores[GOAL] for scores in self.scores(check, terms))

    def joint_share(self, check: C, terms: T | None) -> float:
        """The share of the best value for both together that an agreement reaches, 0 to 1."""
        if terms is None:
            return 0.0
        return self.together(check, terms) / max(self.together(check, outcome) for outcome in self.outcomes(check))


AnyEnvironment = Environment[Any, Any, Any]


@lru_cache(maxsize=65536)
def _gains(env: AnyEnvironment, side: Any, terms: Any) -> tuple[float, ...]:
    return env.gains(side, terms)


def joined(parts: Sequence[str], last: str = "and") -> str:
    """Parts of a list in a sentence."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def listed(text: str) -> tuple[str, ...]:
    """The parts of a list that is separated by commas, in whatever lines."""
    return tuple(" ".join(part.split()) for part in text.split(","))


def article(noun: str) -> str:
    """A noun with "a" or "an"."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
