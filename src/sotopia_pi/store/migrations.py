"""How a database of any age becomes one of today's schema: a list of functions, one per version.

A migration that has been released is never changed; a new schema is a new function at the end of the list. Each runs
in one transaction together with the version it leads to, so a killed migration starts over.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, delete, false, inspect, select, text, update

from sotopia_pi.errors import StoreError
from sotopia_pi.store.schema import META, METADATA

VERSION_KEY = "schema_version"


def stored_version(connection: Connection, where: str) -> int:
    """The schema version of a database, 0 for an empty one. StoreError when it is not ours or newer than we are."""
    tables = set(inspect(connection).get_table_names())
    if connection.dialect.name == "postgresql":
        tables &= set(METADATA.tables)  # a database server may be shared, a run's file is not
    if not tables:
        return 0
    version = None
    if "meta" in tables and {"key", "value"} <= {column["name"] for column in inspect(connection).get_columns("meta")}:
        version = connection.scalar(select(META.c.value).where(META.c.key == VERSION_KEY))
    if not isinstance(version, int):
        raise StoreError(f"{where} belongs to another program: choose another file or database for the run")
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{where} was written by a newer sotopia-pi (schema {version}, this version reads up to "
            f"{len(MIGRATIONS)}): upgrade sotopia-pi"
        )
    return version


def migrate_once(connection: Connection, where: str) -> bool:
    """Takes the database one version further, in the transaction of `connection`; False when it is up to date."""
    version = stored_version(connection, where)
    if version == len(MIGRATIONS):
        # SQLite opens a read-only file without a word; a write that changes nothing finds out now, not after playing.
        connection.execute(delete(META).where(false()))
        return False
    MIGRATIONS[version](connection)
    connection.execute(update(META).where(META.c.key == VERSION_KEY).values(value=version + 1))
    return True


# Keys sort by code point, as Python sorts, on both databases; PostgreSQL would otherwise sort by its language.
_TEXT = {"sqlite": "TEXT", "postgresql": 'TEXT COLLATE "C"'}

_INITIAL = """
CREATE TABLE meta (key {text} PRIMARY KEY, value {text});
INSERT INTO meta (key, value) VALUES ('schema_version', '0');
CREATE TABLE characters (id {text} PRIMARY KEY, record {text} NOT NULL);
CREATE TABLE scenarios (id {text} PRIMARY KEY, record {text} NOT NULL);
CREATE TABLE tasks (id {text} PRIMARY KEY, scenario_id {text} NOT NULL REFERENCES scenarios (id));
CREATE TABLE task_characters (
  task_id {text} NOT NULL REFERENCES tasks (id),
  role INTEGER NOT NULL,
  character_id {text} NOT NULL REFERENCES characters (id),
  PRIMARY KEY (task_id, role)
);
CREATE TABLE task_groups (
  name {text} NOT NULL,
  position INTEGER NOT NULL,
  task_id {text} NOT NULL REFERENCES tasks (id),
  PRIMARY KEY (name, position),
  UNIQUE (name, task_id)
);
CREATE TABLE episodes (
  key {text} PRIMARY KEY,
  task_id {text} NOT NULL REFERENCES tasks (id),
  stage {text} NOT NULL,
  players {text} NOT NULL,
  repeat INTEGER NOT NULL,
  seed BIGINT NOT NULL,
  stop_reason {text},
  failure {text},
  seconds DOUBLE PRECISION NOT NULL
);
CREATE INDEX episodes_by_stage ON episodes (stage, key);
CREATE INDEX episodes_by_task ON episodes (task_id);
CREATE TABLE turns (
  episode_key {text} NOT NULL REFERENCES episodes (key) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  role INTEGER NOT NULL,
  action_type {text} NOT NULL,
  argument {text} NOT NULL,
  raw {text},
  valid BOOLEAN NOT NULL,
  reasked BOOLEAN NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  PRIMARY KEY (episode_key, number)
);
CREATE TABLE ratings (
  episode_key {text} NOT NULL REFERENCES episodes (key) ON DELETE CASCADE,
  role INTEGER NOT NULL,
  rater {text} NOT NULL,
  scores {text} NOT NULL,
  reasons {text} NOT NULL,
  outcome {text},
  failure {text},
  PRIMARY KEY (episode_key, role, rater)
);
CREATE INDEX ratings_by_rater ON ratings (rater, episode_key, role);
CREATE TABLE selections (
  name {text} NOT NULL,
  position INTEGER NOT NULL,
  episode_key {text} NOT NULL REFERENCES episodes (key),
  role INTEGER NOT NULL,
  PRIMARY KEY (name, position),
  UNIQUE (name, episode_key, role)
);
CREATE INDEX selections_by_episode ON selections (episode_key);
CREATE TABLE stages (name {text} PRIMARY KEY, position INTEGER NOT NULL, facts {text} NOT NULL)
"""


def _initial(connection: Connection) -> None:
    """Version 1: every table."""
    for statement in _INITIAL.format(text=_TEXT[connection.dialect.name]).split(";"):
        connection.execute(text(statement))


def _costs(connection: Connection) -> None:
    """What each turn cost; until now nothing was ever paid."""
    connection.execute(text("ALTER TABLE turns ADD COLUMN cost DOUBLE PRECISION"))
    connection.execute(text("UPDATE turns SET cost = 0"))


_SAMPLES = """
CREATE TABLE ratings_by_sample (
  episode_key {text} NOT NULL REFERENCES episodes (key) ON DELETE CASCADE,
  role INTEGER NOT NULL,
  rater {text} NOT NULL,
  sample INTEGER NOT NULL,
  scores {text} NOT NULL,
  reasons {text} NOT NULL,
  outcome {text},
  failure {text},
  PRIMARY KEY (episode_key, role, rater, sample)
);
INSERT INTO ratings_by_sample (episode_key, role, rater, sample, scores, reasons, outcome, failure)
  SELECT episode_key, role, rater, 0, scores, reasons, outcome, failure FROM ratings;
DROP TABLE ratings;
ALTER TABLE ratings_by_sample RENAME TO ratings;
CREATE INDEX ratings_by_rater ON ratings (rater, episode_key, role, sample)
"""


def _samples(connection: Connection) -> None:
    """A rater may rate a role several times. SQLite cannot change a primary key, so the table is made anew."""
    for statement in _SAMPLES.format(text=_TEXT[connection.dialect.name]).split(";"):
        connection.execute(text(statement))


_IMPORTS = """
CREATE TABLE imports (
  kind {text} NOT NULL,
  source_id {text} NOT NULL,
  position INTEGER NOT NULL,
  our_id {text} NOT NULL,
  original {text} NOT NULL,
  PRIMARY KEY (kind, source_id)
);
CREATE INDEX imports_in_order ON imports (kind, position);
CREATE INDEX imports_by_our_id ON imports (our_id)
"""


def _imports(connection: Connection) -> None:
    """A table of imported records as they were published."""
    for statement in _IMPORTS.format(text=_TEXT[connection.dialect.name]).split(";"):
        connection.execute(text(statement))


_STUDIES = """
CREATE TABLE studies (
  name {text} PRIMARY KEY,
  link {text} NOT NULL UNIQUE,
  settings {text} NOT NULL,
  open BOOLEAN NOT NULL,
  salt {text} NOT NULL,
  created DOUBLE PRECISION NOT NULL
);
CREATE TABLE study_items (
  study {text} NOT NULL REFERENCES studies (name),
  episode_key {text} NOT NULL REFERENCES episodes (key),
  position INTEGER NOT NULL,
  reference {text},
  needed INTEGER NOT NULL,
  PRIMARY KEY (study, episode_key),
  UNIQUE (study, position)
);
CREATE INDEX study_items_by_episode ON study_items (episode_key);
CREATE TABLE study_annotators (
  study {text} NOT NULL REFERENCES studies (name),
  pseudonym {text} NOT NULL,
  participant {text} NOT NULL,
  session {text} NOT NULL,
  phase {text} NOT NULL,
  code {text} NOT NULL,
  seed BIGINT NOT NULL,
  created DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (study, pseudonym),
  UNIQUE (study, participant),
  UNIQUE (study, session)
);
CREATE TABLE study_assignments (
  id {text} PRIMARY KEY,
  study {text} NOT NULL,
  pseudonym {text} NOT NULL,
  episode_key {text} NOT NULL,
  attempt INTEGER NOT NULL,
  roles {text} NOT NULL,
  created DOUBLE PRECISION NOT NULL,
  until DOUBLE PRECISION NOT NULL,
  draft {text} NOT NULL,
  answer {text},
  submitted DOUBLE PRECISION,
  passed BOOLEAN,
  UNIQUE (study, pseudonym, episode_key, attempt),
  FOREIGN KEY (study, pseudonym) REFERENCES study_annotators (study, pseudonym),
  FOREIGN KEY (study, episode_key) REFERENCES study_items (study, episode_key)
);
CREATE INDEX study_assignments_by_episode ON study_assignments (study, episode_key)
"""


def _studies(connection: Connection) -> None:
    """Human evaluations: studies, their episodes, annotators and what each was given."""
    for statement in _STUDIES.format(text=_TEXT[connection.dialect.name]).split(";"):
        connection.execute(text(statement))


def _causes(connection: Connection) -> None:
    """Why a turn is invalid; until now nobody recorded it."""
    connection.execute(text(f"ALTER TABLE turns ADD COLUMN cause {_TEXT[connection.dialect.name]}"))


_TERMS = """
ALTER TABLE turns ADD COLUMN terms {text};
ALTER TABLE scenarios ADD COLUMN retired BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE scenarios SET retired = TRUE WHERE record LIKE '%"check": {{"kind": %'
"""


def _terms(connection: Connection) -> None:
    """What turns declare. Checks that are stored already are of tasks whose outcome was read from words."""
    for statement in _TERMS.format(text=_TEXT[connection.dialect.name]).split(";"):
        connection.execute(text(statement))


MIGRATIONS: list[Callable[[Connection], None]] = [_initial, _costs, _samples, _imports, _studies, _causes, _terms]
