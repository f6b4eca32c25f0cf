"""Invitations to play: people get a link, play some tasks with policies that are not named to them, and get a code.

A game is a task, the role that the person takes, and the opponent. Which one comes next follows from what was played
so far (`next_game`): every person meets every opponent equally often, on tasks that are new to them, and all pairs of
opponent and role of a task come equally often over all people. Nothing about a person is stored but the episodes: the
pseudonym is derived from the participant's id and a salt, and a browser proves it by a seal of the same salt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from sotopia_pi.config import PLAYED
from sotopia_pi.episodes.people import folded, is_human
from sotopia_pi.episodes.records import HUMAN
from sotopia_pi.errors import ConfigError
from sotopia_pi.records import Record, derive_seed
from sotopia_pi.store import Store
from sotopia_pi.studies.identity import participant_of, spellings
from sotopia_pi.studies.names import PLAIN
from sotopia_pi.studies.records import PARTICIPANT, SLUG, End

#: Under which key a store keeps its invitations.
_KEPT = "invitations"
#: Conversations beyond `games` that a person may begin because others failed.
SPARE = 3
_CODE = 8


class Seat(NamedTuple):
    """A role of a task that a person can take."""

    task: str
    role: int


class Game(NamedTuple):
    """What a person plays: the task, the own role, and the opponent's name."""

    task: str
    role: int
    opponent: str


class Played(NamedTuple):
    """A game that a person has begun; `completed` when it came to its end.

    `taken`: it counts among those that are given out, as all do but what broke off before the person did anything.
    """

    person: str
    game: Game
    completed: bool
    taken: bool = True


class Invitation(Record):
    """An invitation as it is stored. `link` is the unguessable part of its address, `salt` is for pseudonyms.

    Each person plays `games` conversations; `people` times as many are given out in all. From one address `per_address`
    people may begin in an hour (None: a quarter of them, or two). `opponents` has the name of each in episodes, and how
    it is opened: a policy of the run or a model spec.
    """

    name: str = Field(pattern=SLUG)
    link: str
    salt: str
    title: str = Field(default="Talk with somebody", min_length=1, max_length=200)
    instructions: str = Field(default="", max_length=20_000)
    opponents: dict[str, str] = Field(min_length=1)
    seats: tuple[Seat, ...] = Field(min_length=1)
    games: int = Field(ge=1, le=100)
    people: int = Field(ge=1, le=100_000)
    per_address: int | None = Field(default=None, ge=1, le=100_000)
    done: End = End()
    participant_parameters: tuple[str, ...] = PARTICIPANT
    participant_required: bool = False
    seed: int = 1
    open: bool = True
    created: float

    @property
    def stage(self) -> str:
        """The stage of the episodes that are played."""
        return f"{PLAYED}/{self.name}"

    @property
    def newcomers(self) -> int:
        """How many people may begin from one address in an hour."""
        return self.per_address or max(2, self.people // 4)

    def participant(self, parameters: Mapping[str, str]) -> str:
        """What the platform calls the participant, from the address; empty when it does not say. ConfigError."""
        return participant_of(self.participant_parameters, parameters)

    def pseudonym(self, participant: str, visitor: str = "") -> str:
        """The name of a participant, always the same one; without an id that of a visitor's browser."""
        return self._named(folded(participant) or f"\n{visitor}")  # a line break: no platform's id

    def earlier_pseudonyms(self, participant: str) -> list[str]:
        """Names that a participant may have got before ids were folded, the likeliest first."""
        return [self._named(one) for one in spellings(participant)]

    def sealed(self, pseudonym: str) -> str:
        """A cookie that proves who its bearer is."""
        return f"{pseudonym}.{self._hashed('session', pseudonym, 32)}"

    def known(self, cookie: str) -> str | None:
        """Whose cookie this is; None when nobody got it."""
        pseudonym = cookie.partition(".")[0]
        same = hmac.compare_digest(cookie.encode("utf-8", "replace"), self.sealed(pseudonym).encode("utf-8", "replace"))
        return pseudonym if pseudonym and same else None

    def end(self, pseudonym: str) -> End:
        """Where somebody goes who has played everything; the code is their own one where the owner gave none."""
        if self.done.code:
            return self.done
        digest = hmac.new(self.salt.encode(), f"code {pseudonym}".encode(), hashlib.sha256).digest()
        code = "".join(PLAIN[byte % len(PLAIN)] for byte in digest[:_CODE])
        return self.done.model_copy(update={"code": code})

    def _named(self, known: str) -> str:
        return self._hashed("pseudonym", known, 10)

    def _hashed(self, what: str, text: str, length: int) -> str:
        made = hmac.new(self.salt.encode(), f"{what} {text}".encode("utf-8", "replace"), hashlib.sha256).digest()
        return base64.b32encode(made).decode().lower()[:length]


def next_game(invitation: Invitation, played: Sequence[Played], person: str) -> Game | None:
    """What `person` plays next; None when it was all. `played` are the games of everybody so far."""
    own = [one.game for one in played if one.person == person]
    if len(own) >= invitation.games + SPARE or completed(played, person) >= invitation.games:
        return None
    if not any(own) and not invitation.open:
        return None
    if sum(one.taken for one in played) >= invitation.games * invitation.people:
        return None
    seen, met = {game.task for game in own}, Counter(game.opponent for game in own)
    roles = Counter(game.role for game in own)
    given, everywhere = Counter(one.game for one in played), Counter(one.game.opponent for one in played)

    def rank(game: Game) -> tuple[int, ...]:
        chance = derive_seed("invitation", invitation.seed, person, *game)
        return met[game.opponent], roles[game.role], everywhere[game.opponent], given[game], chance

    free = (Game(*seat, name) for seat in invitation.seats if seat.task not in seen for name in invitation.opponents)
    return min(free, key=rank, default=None)


def completed(played: Sequence[Played], person: str) -> int:
    """How many conversations of a person came to their end."""
    return sum(one.person == person and one.completed for one in played)


def played_games(store: Store, invitation: Invitation) -> list[Played]:
    """Every game of an invitation that is stored. StoreError."""
    found = []
    for task, players, failure, acted in store.studies.played(invitation.stage):
        role = next((role for role, name in enumerate(players) if is_human(name)), None)
        if role is not None:
            opponent = next((name for name in players if not is_human(name)), "")
            game, completed = Game(task, role, opponent), failure is None
            found.append(Played(players[role].removeprefix(HUMAN), game, completed, completed or role in acted))
    return found


def known_as(store: Store, invitation: Invitation, participant: str, visitor: str = "") -> str:
    """The pseudonym of a participant: the one under which they have played before, if they have. StoreError."""
    played = {one.person for one in played_games(store, invitation)}
    earlier = invitation.earlier_pseudonyms(participant) if participant else []
    return next((name for name in earlier if name in played), invitation.pseudonym(participant, visitor))


def invitations(store: Store) -> list[Invitation]:
    """All invitations of a store, oldest first. StoreError."""
    kept: dict[str, Any] = store.meta(_KEPT) or {}
    return sorted((Invitation.model_validate(values) for values in kept.values()), key=lambda one: one.created)


def by_link(store: Store, link: str) -> Invitation | None:
    """The invitation with this public link, if the store has it."""
    return next((one for one in invitations(store) if hmac.compare_digest(one.link.encode(), link.encode())), None)


def find(store: Store, name: str) -> Invitation:
    """The invitation of this name. ConfigError when there is none."""
    known = {one.name: one for one in invitations(store)}
    if name not in known:
        told = f"those there are: {', '.join(known)}" if known else "there is none yet"
        raise ConfigError(f"There is no invitation {name!r}; {told}.")
    return known[name]


def create(store: Store, name: str, values: Mapping[str, Any]) -> Invitation:
    """Stores an invitation. ConfigError for values that cannot be, or a name that is taken."""
    if any(one.name == name for one in invitations(store)):
        raise ConfigError(f"There is an invitation {name!r} already; take another name.")
    drawn = {"link": secrets.token_urlsafe(18), "salt": secrets.token_hex(16), "created": time.time()}
    try:
        made = Invitation.model_validate({"name": name, **values, **drawn})
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors()
        )
        raise ConfigError(f"This invitation cannot be made: {told}.") from None
    tasks = len({seat.task for seat in made.seats})
    if made.games > tasks:
        raise ConfigError(f"A person meets every task once, and there are {tasks}; ask for at most {tasks} games.")
    keep(store, made)
    return made


def keep(store: Store, invitation: Invitation) -> None:
    """Stores an invitation in place of an earlier state of it."""
    kept: dict[str, Any] = store.meta(_KEPT) or {}
    store.set_meta(_KEPT, {**kept, invitation.name: invitation.model_dump(mode="json")})


def progress(store: Store, invitation: Invitation) -> tuple[int, int]:
    """How many people have begun, and how many conversations came to their end. StoreError."""
    played = played_games(store, invitation)
    return len({one.person for one in played}), sum(one.completed for one in played)
