"""What a study is: its settings, the episodes that are rated, the people who rate, and what each was given.

A study belongs to one store. Its settings decide how an episode comes to be rated: by how many people, after which
test, and when one more person is asked.
"""

from __future__ import annotations

from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from sotopia_pi.episodes.records import HUMAN
from sotopia_pi.ratings.dimensions import SEVEN, Dimension
from sotopia_pi.records import Record

#: What a study may be called: it stands in URLs and in the names of raters.
SLUG = r"^[a-z0-9][a-z0-9-]{0,39}$"
#: The URL parameters in which recruitment platforms send a participant's id.
PARTICIPANT = ("participant", "PROLIFIC_PID", "workerId", "participant_id")
#: Characters of a reason that are kept.
LONGEST_REASON = 5_000


def rater_of(study: str, pseudonym: str) -> str:
    """How an annotator is called in ratings: as a person, by the study's name, a slash and the pseudonym."""
    return f"{HUMAN}{study}/{pseudonym}"


class Qualification(Record):
    """The test before the first episode, where the study has qualification episodes.

    One episode is rated per attempt. It is passed when at least `share` of the scores that have a reference lie within
    `tolerance` of it (paper.md section 3: all of them, within 2).
    """

    tolerance: float = Field(default=2, ge=0, allow_inf_nan=False)
    share: float = Field(default=1.0, gt=0, le=1)
    attempts: int = Field(default=2, ge=1, le=20)


class Reannotation(Record):
    """When one more annotator is asked: as long as annotators differ by more than `threshold` on `dimension`.

    `maximum` is how many annotators an episode has at most.
    """

    dimension: str = "goal"
    threshold: float = Field(default=5, ge=0, allow_inf_nan=False)
    maximum: int = Field(default=3, ge=1, le=50)


class End(Record):
    """Where an annotator is sent: the completion code, and the platform's page, if there is one.

    Who is done gets a code of their own where there is none; the other ends have the code they are given, or none.
    """

    code: str | None = Field(default=None, min_length=1, max_length=100)
    url: str | None = Field(default=None, max_length=500)

    @field_validator("url")
    @classmethod
    def _is_a_web_address(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
            raise ValueError("must be a web address that begins with https://")
        return url


class StudySettings(Record):
    """How a study is run; see docs/studies.md.

    `annotators` rate each episode. `per_annotator` is how many episodes one person rates at most (None: all).
    `lease_minutes` is how long an episode is kept for a person who does not submit it. `reason_characters` is how long
    each written reason must be (0: none is required). `done`, `screened_out` and `nothing_left` are the three ends.
    `participant_parameters` are the URL parameters that may hold the participant's id, the first one given counts.
    """

    title: str = Field(default="Rate conversations", min_length=1, max_length=200)
    instructions: str = Field(default="", max_length=20_000)
    dimensions: tuple[Dimension, ...] = Field(default=SEVEN, min_length=1)
    annotators: int = Field(default=2, ge=1, le=50)
    per_annotator: int | None = Field(default=None, ge=1)
    qualification: Qualification = Qualification()
    reannotation: Reannotation | None = Reannotation()
    lease_minutes: float = Field(default=60, gt=0, le=100_000)
    reason_characters: int = Field(default=3, ge=0, le=1_000)
    done: End = End()
    screened_out: End = End()
    nothing_left: End = End()
    participant_parameters: tuple[str, ...] = PARTICIPANT
    participant_required: bool = False
    seed: int = 1

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [dimension.name for dimension in self.dimensions]
        if len(set(names)) != len(names):
            raise ValueError("two dimensions have the same name; rename one")
        for dimension in self.dimensions:
            if dimension.low >= dimension.high:
                raise ValueError(f"the dimension {dimension.name!r} needs a low below its high")
        again = self.reannotation
        if again is not None and again.dimension not in names:
            raise ValueError(
                f"reannotation.dimension is {again.dimension!r}, which is not rated; name one of {', '.join(names)}"
            )
        return self

    def needed(self, scores: list[dict[int, float]]) -> int:
        """How many annotators an episode needs, given the re-annotation dimension's scores by role of each so far.

        Never fewer than `annotators`. One more than there are while, for some role, no `annotators` of them lie within
        the threshold of each other, up to the maximum.
        """
        again, wanted = self.reannotation, self.annotators
        if again is None or len(scores) < max(wanted, 2) or len(scores) >= again.maximum:
            return max(wanted, min(len(scores), again.maximum if again else wanted))
        group = max(wanted, 2)
        for role in scores[0]:
            ordered = sorted(one[role] for one in scores if role in one)
            spreads = [ordered[at + group - 1] - ordered[at] for at in range(len(ordered) - group + 1)]
            if not spreads or min(spreads) > again.threshold:
                return len(scores) + 1
        return max(wanted, len(scores))


#: Reference scores of a qualification episode: by role, as text (JSON has no other keys), and dimension.
Reference = dict[str, dict[str, float]]


class Item(Record):
    """An episode of a study. With a reference it belongs to the qualification and is not part of what is rated."""

    episode: str
    reference: Reference | None = None
    needed: int = 0


class Study(Record):
    """A study as it is stored. `link` is the unguessable part of the address that annotators get."""

    name: str = Field(pattern=SLUG)
    link: str
    settings: StudySettings
    open: bool = True
    salt: str
    created: float


Phase = Literal["instructed", "qualified", "screened_out"]


class Annotator(Record):
    """A person who rates, known by a pseudonym and a hash of what the platform calls them."""

    study: str
    pseudonym: str
    phase: Phase
    code: str
    seed: int
    created: float


class Answer(Record):
    """What one person said of one episode: by role, as text, a score and a reason per dimension."""

    scores: dict[str, dict[str, int]]
    reasons: dict[str, dict[str, str]]


class Assignment(Record):
    """An episode in one annotator's hands.

    `attempt` is 0 for what is rated and counts from 1 in the qualification. `roles` is the order in which the roles
    are shown. Until it is `submitted` (seconds since 1970) it is leased `until` a moment; after that somebody else may
    get the episode, and the annotator may still submit.
    """

    id: str
    study: str
    pseudonym: str
    episode: str
    attempt: int
    roles: tuple[int, ...]
    created: float
    until: float
    draft: dict[str, str] = Field(default_factory=dict)
    answer: Answer | None = None
    submitted: float | None = None
    passed: bool | None = None
    facts: dict[str, Any] = Field(default_factory=dict)
