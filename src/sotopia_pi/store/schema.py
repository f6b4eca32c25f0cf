"""The tables of the run's database, as queries see them. migrations.py creates them; a test compares the two.

What a model wrote can hold NUL characters and halves of surrogate pairs, which UTF-8 or PostgreSQL cannot carry.
On both databases each is stored as U+FFFD, the replacement character (two halves that belong together become the
character they encode), so that everything read from the store can be exported. JSON escapes NUL and so keeps it.
A key that was sent to a server and comes back in any text is blotted out (redaction.py).
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Dialect, Double, Integer, MetaData, Table, Text
from sqlalchemy.types import TypeDecorator

from sotopia_pi.records import NOT_TEXT
from sotopia_pi.redaction import BLOT, without_secrets


def storable(text: str) -> str:
    """`text` as the store keeps it; almost always unchanged."""
    text = without_secrets(text)
    if not NOT_TEXT.search(text):
        return text
    return text.replace("\x00", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_DECODE = json.JSONDecoder(parse_constant=lambda _: None).decode


def was_altered(text: str) -> bool:
    """Whether `storable` may have changed a text that came from the store."""
    return BLOT in text or "\ufffd" in text


class Words(TypeDecorator[str]):
    """Text that may hold any character; comes back as `storable` leaves it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """What is written for `value`."""
        return None if value is None else storable(value)


class Json(TypeDecorator[Any]):
    """A JSON value, written as text: it keeps the order of keys, and reads the same on both databases."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """What is written for `value`; None is written as NULL."""
        return None if value is None else storable(json.dumps(value, ensure_ascii=False))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """The value that was written; what is no number (NaN) is None."""
        return None if value is None else _DECODE(value)


METADATA = MetaData()

META = Table("meta", METADATA, Column("key", Words, primary_key=True), Column("value", Json))

CHARACTERS = Table("characters", METADATA, Column("id", Words, primary_key=True), Column("record", Json))

#: `retired`: its check is from before outcomes were declared in terms.
SCENARIOS = Table(
    "scenarios",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("record", Json),
    Column("retired", Boolean, default=False),
)

TASKS = Table("tasks", METADATA, Column("id", Words, primary_key=True), Column("scenario_id", Words))

#: Which character plays which role of a task.
TASK_CHARACTERS = Table(
    "task_characters",
    METADATA,
    Column("task_id", Words, primary_key=True),
    Column("role", Integer, primary_key=True),
    Column("character_id", Words),
)

TASK_GROUPS = Table(
    "task_groups",
    METADATA,
    Column("name", Words, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("task_id", Words),
)

EPISODES = Table(
    "episodes",
    METADATA,
    Column("key", Words, primary_key=True),
    Column("task_id", Words),
    Column("stage", Words),
    Column("players", Json),
    Column("repeat", Integer),
    Column("seed", BigInteger),
    Column("stop_reason", Words),
    Column("failure", Words),
    Column("seconds", Double),
)

#: `raw` is NULL where the model wrote exactly the canonical JSON of its action. `cost` is in US dollars, NULL where
#: the price is not known. `cause` says why a turn is not valid, NULL where that was not recorded. `terms` are
#: those that the turn declared, NULL where it declared none.
TURNS = Table(
    "turns",
    METADATA,
    Column("episode_key", Words, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("role", Integer),
    Column("action_type", Words),
    Column("argument", Words),
    Column("raw", Words),
    Column("valid", Boolean),
    Column("reasked", Boolean),
    Column("prompt_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cost", Double),
    Column("cause", Words),
    Column("terms", Words),
)

RATINGS = Table(
    "ratings",
    METADATA,
    Column("episode_key", Words, primary_key=True),
    Column("role", Integer, primary_key=True),
    Column("rater", Words, primary_key=True),
    Column("sample", Integer, primary_key=True),
    Column("scores", Json),
    Column("reasons", Json),
    Column("outcome", Json),
    Column("failure", Words),
)

SELECTIONS = Table(
    "selections",
    METADATA,
    Column("name", Words, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("episode_key", Words),
    Column("role", Integer),
)

#: Finished stages, in the order in which they were first finished.
STAGES = Table(
    "stages",
    METADATA,
    Column("name", Words, primary_key=True),
    Column("position", Integer),
    Column("facts", Json),
)

#: Records of other programs, letter for letter as their file had them, so that an export gives back what was imported.
IMPORTS = Table(
    "imports",
    METADATA,
    Column("kind", Words, primary_key=True),
    Column("source_id", Words, primary_key=True),
    Column("position", Integer),
    Column("our_id", Words),
    Column("original", Words),
)

#: Human evaluations: `link` stands in the address that annotators get, `salt` goes into the hashes of their ids.
STUDIES = Table(
    "studies",
    METADATA,
    Column("name", Words, primary_key=True),
    Column("link", Words),
    Column("settings", Json),
    Column("open", Boolean),
    Column("salt", Words),
    Column("created", Double),
)

#: The episodes of a study; `reference` is NULL but for the qualification. `needed` annotators are to rate it.
STUDY_ITEMS = Table(
    "study_items",
    METADATA,
    Column("study", Words, primary_key=True),
    Column("episode_key", Words, primary_key=True),
    Column("position", Integer),
    Column("reference", Json),
    Column("needed", Integer),
)

#: `participant` and `session` are hashes; what they were made from is never stored.
STUDY_ANNOTATORS = Table(
    "study_annotators",
    METADATA,
    Column("study", Words, primary_key=True),
    Column("pseudonym", Words, primary_key=True),
    Column("participant", Words),
    Column("session", Words),
    Column("phase", Words),
    Column("code", Words),
    Column("seed", BigInteger),
    Column("created", Double),
)

#: Times are seconds since 1970. `submitted` is NULL while the annotator is at it.
STUDY_ASSIGNMENTS = Table(
    "study_assignments",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("study", Words),
    Column("pseudonym", Words),
    Column("episode_key", Words),
    Column("attempt", Integer),
    Column("roles", Json),
    Column("created", Double),
    Column("until", Double),
    Column("draft", Json),
    Column("answer", Json),
    Column("submitted", Double),
    Column("passed", Boolean),
)
