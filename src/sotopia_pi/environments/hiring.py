"""Hiring: pay, days at home and the month of the start are agreed at once; each role weighs the three differently.

A role's points for an issue run evenly from 0 at the level it likes least to the issue's weight at the level it likes
best; the weights add up to 10. GOAL = the points of the agreed contract, 0 if they are fewer than the role's least;
FIN = GOAL / 2. Weights differ enough that giving way on one issue for another pays in every draw. Terms are one of the
listed salaries, a number of days and a listed month, in any order: "$46,000, 2 days, June". Words name a contract by
all three ("$46,000" or "46k"; "2 days" or "two days"; "June"); they may not mention other salaries, days at home or
months that nobody has proposed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from sotopia_pi.environments import base
from sotopia_pi.environments.money import amounts, read_amount, write_amount
from sotopia_pi.environments.registry import register

Weight = Annotated[float, Field(ge=0, le=10)]
Weights = tuple[Weight, Weight, Weight]
#: Weights as they are drawn, in any order.
_WEIGHTS = ((6, 3, 1), (5, 3, 2), (6, 2, 2), (4, 4, 2), (5, 2, 3))
#: Both roles together gain at least this much more by trading than by meeting in the middle of every issue.
GAIN = 2.0

_JOBS: dict[base.Split, str] = {
    "train": """baker 34, gardener 36, bus driver 40, bookkeeper 44, cook 36, librarian 42, tailor 34, surveyor 52,
        lab assistant 40, web designer 50, welder 44, music teacher 42, receptionist 34, data analyst 58,
        warehouse planner 46, translator 44, optician 48, roofer 42, editor 48, florist 34""",
    "dev": """carpenter 42, paralegal 46, tour guide 34, dental nurse 40, archivist 42, brewer 40, illustrator 44,
        site manager 58, barber 34, tutor 38, plumber 46, buyer 50""",
    "test": """joiner 42, ferry pilot 56, radio producer 48, pastry chef 38, clerk 36, forester 40, game tester 42,
        physiotherapist 50, sound engineer 46, gallery assistant 36, electrician 48, office manager 50""",
}
#: Jobs and the lowest salary offered, in thousands of dollars.
JOBS: dict[base.Split, dict[str, int]] = {
    split: {name: int(pay) for name, pay in (job.strip().rsplit(" ", 1) for job in text.split(","))}
    for split, text in _JOBS.items()
}
MONTHS = base.listed("January, February, March, April, May, June, July, August, September, October, November, December")
#: Where a run of four months may begin; "may" is another word, so no draw has it.
_FIRST = ("January", "June", "July", "August", "September")
_NUMBERS = {word: number for number, word in enumerate(("no", "one", "two", "three", "four", "five"))}
_DAYS = re.compile(r"([0-9]{1,3}|no|one|two|three|four|five)(?: (?:home )?days?(?: (?:at|from) home)?)?", re.IGNORECASE)
_DAYS_IN_WORDS = re.compile(
    r"(?<![\w.,-])(?P<number>[0-9]{1,3}|no|one|two|three|four|five) (?:(?P<home>home) )?days?\b"
    r"(?P<at>(?: a week)? (?:at|from) home)?",
    re.IGNORECASE,
)
_MONTH = re.compile(r"(?:start |from |in )*([a-z]+)", re.IGNORECASE)


class Contract(NamedTuple):
    """What is agreed: the salary in dollars, days at home a week, the month of the start."""

    salary: int
    days: int
    start: str


@dataclass(frozen=True, slots=True)
class HiringSide:
    """One side of a hiring. `late`: whether a later start is the better one for this role."""

    role: int
    job: str
    employs: bool
    salaries: tuple[int, ...]
    most_days: int
    months: tuple[str, ...]
    weights: tuple[float, float, float]
    late: bool
    least: float

    def levels(self, terms: Contract) -> tuple[float, float, float]:
        """How well each issue is for this role, 0 to 1."""
        pay = self.salaries.index(terms.salary) / (len(self.salaries) - 1)
        days = terms.days / self.most_days
        start = self.months.index(terms.start) / (len(self.months) - 1)
        return (1 - pay if self.employs else pay, 1 - days if self.employs else days, start if self.late else 1 - start)

    def points(self, terms: Contract) -> float:
        """What a contract is worth to this role, 0 to 10."""
        return sum(weight * level for weight, level in zip(self.weights, self.levels(terms), strict=True))

    def contracts(self) -> Iterable[Contract]:
        """Everything that can be agreed."""
        return (Contract(*parts) for parts in product(self.salaries, range(self.most_days + 1), self.months))


class HiringCheck(base.CheckOf[HiringSide]):
    """Role `employer` hires the other. `weights` (pay, days, start), `late` and `least` are per role."""

    kind: Literal["hiring"] = "hiring"
    job: str = Field(min_length=1)
    employer: base.Role
    salaries: tuple[Annotated[int, Field(gt=0)], ...] = Field(min_length=2, max_length=10)
    most_days: int = Field(ge=1, le=7)
    months: tuple[str, ...] = Field(min_length=2, max_length=6)
    weights: tuple[Weights, Weights]
    late: tuple[bool, bool]
    least: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]

    @model_validator(mode="after")
    def _trading_pays(self) -> Self:
        if sorted(set(self.salaries)) != list(self.salaries):
            raise ValueError("salaries must rise")
        if len(set(self.months)) != len(self.months) or not set(self.months) <= set(MONTHS):
            raise ValueError("months must be different months")
        if any(abs(sum(weights) - 10) > 1e-6 for weights in self.weights):
            raise ValueError("weights must add up to 10 for each role")
        first, second = self.side(0), self.side(1)
        both = [(first.points(terms), second.points(terms)) for terms in first.contracts()]
        best = max((sum(p) for p in both if p[0] >= self.least[0] and p[1] >= self.least[1]), default=0.0)
        if best < 10 + GAIN:
            raise ValueError("the weights leave no gain in trading one issue for another")
        return self

    def side(self, role: int) -> HiringSide:
        """What `role` may know of this check."""
        return HiringSide(
            role, self.job, role == self.employer, self.salaries, self.most_days, self.months,
            self.weights[role], self.late[role], self.least[role],
        )  # fmt: skip


@register("hiring")
class Hiring(base.Environment[HiringCheck, HiringSide, Contract]):
    """The contract of a new job."""

    check_type = HiringCheck
    material = True

    def entries(self, split: base.Split) -> Sequence[str]:
        """The jobs."""
        return tuple(JOBS[split])

    def draw(self, rng: Random, split: base.Split, entry: str) -> HiringCheck:
        """Five salaries, up to four days at home, four months; weights with different favourites."""
        lowest = 1000 * JOBS[split][entry]
        at = MONTHS.index(rng.choice(_FIRST))
        while True:
            weights = [rng.choice(_WEIGHTS) for _ in range(2)]
            first, second = (rng.sample(of, 3) for of in weights)
            late = (rng.random() < 0.5, rng.random() < 0.5)
            try:
                return HiringCheck(
                    job=entry,
                    employer=1 if rng.random() < 0.5 else 0,
                    salaries=tuple(lowest + 2000 * level for level in range(5)),
                    most_days=4,
                    months=MONTHS[at : at + 4],
                    weights=((first[0], first[1], first[2]), (second[0], second[1], second[2])),
                    late=late,
                    least=(rng.choice((2.0, 3.0)), rng.choice((2.0, 3.0))),
                )
            except ValueError:
                continue

    def situation(self, check: HiringCheck) -> str:
        """The job and what can be agreed."""
        salaries = f"{write_amount(check.salaries[0])} to {write_amount(check.salaries[-1])}"
        return (
            f"One of you hires the other as {base.article(check.job)}. To agree on: a salary of {salaries} in steps of "
            f"{write_amount(check.salaries[1] - check.salaries[0])}, 0 to {check.most_days} days a week at home, "
            f"start in {base.joined(check.months, 'or')}."
        )

    def goal(self, side: HiringSide) -> str:
        """What each issue is worth."""
        pay, days, start = (f"{weight:g}" for weight in side.weights)
        better = ("low pay", "few days at home") if side.employs else ("high pay", "many days at home")
        part = "Hire the other" if side.employs else "Get hired"
        return (
            f"{part} as {base.article(side.job)} on good terms. Points for you: {better[0]} up to {pay}, "
            f"{better[1]} up to {days}, {'a late' if side.late else 'an early'} start up to {start}. "
            f"Accept nothing below {side.least:g} of the 10 points."
        )

    def notation(self, side: HiringSide) -> str:
        """All three issues."""
        middle = Contract(side.salaries[len(side.salaries) // 2], side.most_days // 2, side.months[1])
        return f'salary, days at home and month, such as "{self.write(side, middle)}"'

    def read(self, side: HiringSide, text: str) -> Contract:
        """The three in any order, with commas or "and" between them."""
        found: dict[str, str] = {}
        for part in re.split(r"(?:,|;) (?:and )?| and ", text):
            days, month = _DAYS.fullmatch(part), _MONTH.fullmatch(part)
            if days:
                issue, value = "days", _whole(days[1])
            elif month:
                issue, value = "start", month[1].capitalize()
            elif any(char.isdigit() for char in part):
                issue, value = "salary", str(read_amount(part, 0, 1e7, write_amount(side.salaries[0])))
            else:
                raise base.TermsError(f"write {self.notation(side)}")
            if issue in found:
                raise base.TermsError(f"you name two {issue} values; write {self.notation(side)}")
            found[issue] = value
        if len(found) != 3:
            missing = base.joined([issue for issue in Contract._fields if issue not in found])
            raise base.TermsError(f"the terms lack {missing}; write {self.notation(side)}")
        return self._of(side, found)

    def _of(self, side: HiringSide, found: Mapping[str, str]) -> Contract:
        terms = Contract(int(float(found["salary"])), int(found["days"]), found["start"])
        if float(found["salary"]) not in side.salaries:
            raise base.TermsError(f"the salary must be {base.joined(list(map(write_amount, side.salaries)), 'or')}")
        if not 0 <= terms.days <= side.most_days:
            raise base.TermsError(f"there can be 0 to {side.most_days} days at home")
        if terms.start not in side.months:
            raise base.TermsError(f"the start must be in {base.joined(side.months, 'or')}")
        return terms

    def write(self, side: HiringSide, terms: Contract) -> str:
        """Salary, days, month."""
        return f"{write_amount(terms.salary)}, {_days(terms.days)}, {terms.start}"

    def words(self, side: HiringSide, terms: Contract) -> str:
        """Salary, days, month."""
        return f"{write_amount(terms.salary)} with {_days(terms.days)} at home from {terms.start}"

    def claims(self, side: HiringSide, terms: Contract) -> tuple[frozenset[base.Claim], ...]:
        """All three."""
        return (frozenset({("salary", float(terms.salary)), ("days", terms.days), ("start", terms.start)}),)

    def mentions(self, side: HiringSide, words: str) -> base.Mentions:
        """Amounts, numbers of days (sure where they are said to be at home), months with a capital."""
        pay = amounts("salary", words)
        sure, maybe = set(pay.sure), set(pay.maybe)
        for found in _DAYS_IN_WORDS.finditer(words):
            (sure if found["home"] or found["at"] else maybe).add(("days", int(_whole(found["number"]))))
        said = set(re.findall(r"[^\W_]+", words))
        sure.update(("start", month) for month in MONTHS if month in said and month != "May")
        maybe.update({("start", "May")} if "May" in said else ())
        return base.Mentions(frozenset(sure), frozenset(maybe))

    def known(self, side: HiringSide) -> frozenset[base.Claim]:
        """The ends of the range of salaries, and what one step is."""
        ends = (side.salaries[0], side.salaries[-1], side.salaries[1] - side.salaries[0])
        return frozenset(("salary", float(pay)) for pay in ends)

    def form(self, side: HiringSide) -> tuple[base.Field, ...]:
        """Two choices and a number."""
        return (
            base.ChoiceField("salary", "Salary", tuple(write_amount(pay) for pay in side.salaries)),
            base.NumberField("days", "Days at home", 0, side.most_days),
            base.ChoiceField("start", "Start in", side.months),
        )

    def within(self, side: HiringSide, terms: Contract) -> bool:
        """Worth at least the role's least."""
        return side.points(terms) >= side.least - 1e-9

    def points(self, check: HiringCheck, role: int, terms: Contract) -> float:
        """The contract's points."""
        return check.side(role).points(terms)

    def outcomes(self, check: HiringCheck) -> Iterable[Contract]:
        """Every contract."""
        return check.side(0).contracts()

    def worth(self, side: HiringSide, terms: Contract) -> float:
        """From the least (0) to everything (1)."""
        return (side.points(terms) - side.least) / (10 - side.least)

    def candidates(self, side: HiringSide) -> tuple[Contract, ...]:
        """Every contract within the limit."""
        return tuple(terms for terms in side.contracts() if self.within(side, terms))

    def gains(self, side: HiringSide, terms: Contract) -> tuple[float, ...]:
        """The partner's levels; which start it likes shows in what it proposes."""
        pay, days, start = side.levels(terms)
        return (1 - pay, 1 - days, start, 1 - start)

    def fills(self, side: HiringSide) -> dict[str, str]:
        """The job."""
        return {"part": "employer" if side.employs else "applicant", "item": side.job}


def _whole(number: str) -> str:
    return str(_NUMBERS.get(number.lower(), number))


def _days(days: int) -> str:
    return f"{days} day{'s' if days != 1 else ''}"
