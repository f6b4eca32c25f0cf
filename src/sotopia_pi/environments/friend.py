"""The friend in common: each role knows four people, and exactly one person is on both lists; who is it?

Both score 10 if they agree on that person, else 0. People are known by name, place of work and hobby. Two more names
are on both lists and belong to different people, who have the place or the hobby in common, so that a name alone, and
often a name with one thing about the person, is not enough: things about people have to be asked and told before
agreeing. Terms are a person on the role's own list, with at most one thing about that person: "Mia, bakery", "Mia".
Words name them by the name and that thing. They may say more about people, but may not name another person on the
role's list whom nobody has declared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from sotopia_pi.environments import base
from sotopia_pi.environments.registry import register
from sotopia_pi.environments.styles import Style

NAMES: dict[base.Split, tuple[str, ...]] = {
    "train": base.listed("""Mia, Tom, Ada,
        Ben, Lea, Max, Eva, Sam, Ida, Leo, Nora, Paul, Ruth, Hugo, Vera, Otto, Kim, Ralph, Tess, Omar"""),
    "dev": ("Ivy", "Karl", "Dina", "Finn", "Olga", "Noel", "Pia", "Gus", "Mona", "Eric", "Tara", "Joel"),
    "test": ("Zoe", "Ivan", "Cleo", "Arne", "Lydia", "Ravi", "Greta", "Milo", "Stella", "Boris", "Amira", "Theo"),
}
PLACES: dict[base.Split, tuple[str, ...]] = {
    "train": ("bakery", "school", "hospital", "bank", "garage", "museum", "airport", "post office"),
    "dev": ("pharmacy", "cinema", "nursery", "harbour", "hotel", "court"),
    "test": ("brewery", "theatre", "laundry", "zoo", "printshop", "town hall"),
}
HOBBIES: dict[base.Split, tuple[str, ...]] = {
    "train": ("chess", "painting", "tennis", "cooking", "singing", "hiking", "fishing", "knitting"),
    "dev": ("dancing", "cycling", "pottery", "sailing", "judo", "reading"),
    "test": ("rowing", "baking", "archery", "drumming", "skating", "origami"),
}
_THING = re.compile(r"(?:, ?|: ?| )(?:from the |at the |works at the |who likes |who works at the |likes )?")


class Person(NamedTuple):
    """Somebody a role knows."""

    name: str
    place: str
    hobby: str


class Known(NamedTuple):
    """A person as declared: the name and one thing, or "" for the name alone."""

    name: str
    thing: str


@dataclass(frozen=True, slots=True)
class FriendSide:
    """The people one role knows."""

    role: int
    people: tuple[Person, ...]

    def person(self, name: str) -> Person | None:
        """Who of that name is on the list."""
        return next((person for person in self.people if person.name == name), None)


class FriendCheck(base.CheckOf[FriendSide]):
    """The lists of both roles."""

    kind: Literal["friend"] = "friend"
    lists: tuple[tuple[Person, ...], tuple[Person, ...]] = Field()

    @model_validator(mode="after")
    def _one_in_common(self) -> Self:
        for people in self.lists:
            if len({person.name for person in people}) != len(people):
                raise ValueError("no two people on one list may have the same name")
            if any(not all(person) or person.place == person.hobby for person in people):
                raise ValueError("everybody needs a name, a place and a hobby")
        if len(set(self.lists[0]) & set(self.lists[1])) != 1:
            raise ValueError("exactly one person must be on both lists")
        return self

    @property
    def friend(self) -> Person:
        """Who is on both lists."""
        return next(person for person in self.lists[0] if person in self.lists[1])

    def side(self, role: int) -> FriendSide:
        """What `role` may know of this check."""
        return FriendSide(role, self.lists[role])


@register("friend")
class Friend(base.Environment[FriendCheck, FriendSide, Known]):
    """The search for the friend in common."""

    check_type = FriendCheck

    def entries(self, split: base.Split) -> Sequence[str]:
        """Names, of which one is the friend's."""
        return NAMES[split]

    def draw(self, rng: Random, split: base.Split, entry: str) -> FriendCheck:
        """Four people each: the friend, two of equal names who are not the same people, and one more."""
        same_place, same_hobby, *others = rng.sample([name for name in NAMES[split] if name != entry], 4)
        places, hobbies = rng.sample(PLACES[split], 5), rng.sample(HOBBIES[split], 5)
        friend = Person(entry, rng.choice(places), rng.choice(hobbies))
        place, hobby = rng.choice(places), rng.choice(hobbies)
        two_hobbies, two_places = rng.sample(hobbies, 2), rng.sample(places, 2)
        lists = []
        for role in (0, 1):
            people = [
                friend,
                Person(same_place, place, two_hobbies[role]),
                Person(same_hobby, two_places[role], hobby),
                Person(others[role], rng.choice(places), rng.choice(hobbies)),
            ]
            rng.shuffle(people)
            lists.append(tuple(people))
        return FriendCheck(lists=(lists[0], lists[1]))

    def situation(self, check: FriendCheck) -> str:
        """What both know."""
        return (
            f"Each of you knows {len(check.lists[0])} people. Exactly one person is known to both of you: the name, "
            "the work and the hobby are the same. Other people may share a name only."
        )

    def goal(self, side: FriendSide) -> str:
        """The own list."""
        people = [f"{person.name} ({person.place}, {person.hobby})" for person in side.people]
        return f"Find out together whom you both know. You know {base.joined(people)}."

    def notation(self, side: FriendSide) -> str:
        """A name and one thing."""
        person = side.people[0]
        return f'a person you know and one thing about that person, such as "{person.name}, {person.place}"'

    def read(self, side: FriendSide, text: str) -> Known:
        """A person on the own list, with a true thing or none."""
        for person in side.people:
            if not text.lower().startswith(person.name.lower()):
                continue
            rest = text[len(person.name) :]
            if not rest:
                return Known(person.name, "")
            between = _THING.match(rest)
            thing = rest[between.end() :].lower() if between else ""
            if between and thing in (person.place.lower(), person.hobby.lower()):
                return Known(person.name, thing)
            if between:
                true = f"{person.place} or {person.hobby}"
                raise base.TermsError(f"say one true thing about the {person.name} you know: {true}")
        raise base.TermsError(f"name one person you know: {base.joined([person.name for person in side.people], 'or')}")

    def write(self, side: FriendSide, terms: Known) -> str:
        """Name and thing."""
        return ", ".join(part for part in terms if part)

    def words(self, side: FriendSide, terms: Known) -> str:
        """Name and thing."""
        person = side.person(terms.name)
        if not terms.thing:
            return terms.name
        works = person is not None and person.place == terms.thing
        return f"{terms.name} from the {terms.thing}" if works else f"{terms.name} who likes {terms.thing}"

    def claims(self, side: FriendSide, terms: Known) -> tuple[frozenset[base.Claim], ...]:
        """Name and thing."""
        thing = {("thing", terms.thing)} if terms.thing else set()
        return (frozenset({("name", terms.name), *thing}),)

    def mentions(self, side: FriendSide, words: str) -> base.Mentions:
        """The names on the own list, for sure, and things about people."""
        plain = words.lower()
        names = {("name", person.name) for person in side.people if _occurs(person.name.lower(), plain)}
        things = {thing for person in side.people for thing in (person.place, person.hobby)}
        return base.Mentions(frozenset(names), frozenset(("thing", thing) for thing in things if _occurs(thing, plain)))

    def form(self, side: FriendSide) -> tuple[base.ChoiceField, ...]:
        """A choice of everything that can be declared."""
        options = tuple(f"{p.name}, {thing}" for p in side.people for thing in (p.place, p.hobby))
        return (base.ChoiceField("person", "The person you both know", options),)

    def points(self, check: FriendCheck, role: int, terms: Known) -> float:
        """10 for the friend."""
        friend = check.friend
        return 10.0 if terms.name == friend.name and terms.thing in ("", friend.place, friend.hobby) else 0.0

    def outcomes(self, check: FriendCheck) -> Iterable[Known]:
        """The friend."""
        return (Known(check.friend.name, check.friend.place),)

    def worth(self, side: FriendSide, terms: Known) -> float:
        """Anybody on the list may be the one."""
        person = side.person(terms.name)
        return 1.0 if person and terms.thing in ("", person.place, person.hobby) else -1.0

    def candidates(self, side: FriendSide) -> tuple[Known, ...]:
        """Every person on the list with either thing."""
        return tuple(Known(person.name, thing) for person in side.people for thing in (person.place, person.hobby))

    def script(self, side: FriendSide, style: Style, heard: base.Heard[Known], rng: Random) -> base.Offer[Known]:
        """Names people one by one; checks both things before agreeing, if it is careful; drops who cannot be it."""
        theirs = [terms for role, terms in heard if role != side.role and terms is not None]
        own = [terms for role, terms in heard if role == side.role and terms is not None]
        silent = sum(role != side.role and terms is None for role, terms in heard)
        if silent > 3 + 10 * style.patience:
            return base.Offer(base.Move.LEAVE)
        last = heard[-1][1] if heard and heard[-1][0] != side.role else None
        if last is not None and self.worth(side, last) > 0:
            person = side.person(last.name)
            assert person is not None
            told = {terms.thing for terms in (*theirs, *own) if terms.name == last.name} - {""}
            if told == {person.place, person.hobby} or (last.thing and rng.random() >= style.care):
                return base.Offer(base.Move.ACCEPT, last)
            more = [thing for thing in (person.place, person.hobby) if thing != last.thing]
            return base.Offer(base.Move.COUNTER, Known(person.name, rng.choice(more)))
        return base.Offer(base.Move.COUNTER if own else base.Move.OPEN, self._next(side, own, theirs, rng))

    def _next(self, side: FriendSide, own: Sequence[Known], theirs: Sequence[Known], rng: Random) -> Known:
        """Somebody who can still be the friend and was not named, or was named longest ago."""
        wrong = {terms.name for terms in theirs if self.worth(side, terms) < 0}
        possible = [person for person in side.people if person.name not in wrong] or list(side.people)
        rng.shuffle(possible)
        named = [terms.name for terms in own]
        person = min(possible, key=lambda p: max((i for i, name in enumerate(named) if name == p.name), default=-1))
        things = [thing for thing in (person.place, person.hobby) if Known(person.name, thing) not in own]
        return Known(person.name, rng.choice(things or [person.place, person.hobby]))

    def fills(self, side: FriendSide) -> dict[str, str]:
        """Nothing but the part."""
        return {"part": "friend"}


def _occurs(part: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None
