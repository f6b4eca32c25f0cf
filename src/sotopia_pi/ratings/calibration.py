"""A calibration of one judge's GOAL, as an audit wrote it: read from its file, and put on ratings.

Stored ratings stay as they were given; a calibration changes what selection sees of them.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from sotopia_pi.environments import GOAL
from sotopia_pi.errors import ConfigError
from sotopia_pi.inputs import read_json, read_text
from sotopia_pi.ratings.records import Rating
from sotopia_pi.records import Record

#: A file larger than this is no calibration.
_LARGEST = 1_000_000


class Calibration(Record):
    """The map of one rater's GOAL: `knots` are pairs of a score that it gives and what that is worth.

    `n` roles of `n_scenarios` scenarios were used; `mae_…` and `rmse_…` are cross-validated errors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rater: str = Field(min_length=1)
    dimension: str = GOAL
    knots: tuple[tuple[float, float], ...] = Field(min_length=1)
    n: int = Field(ge=0)
    n_scenarios: int = Field(ge=0)
    mae_before: float
    mae_after: float
    rmse_before: float
    rmse_after: float

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.dimension != GOAL:
            raise ValueError(f"the dimension is {self.dimension!r} and not {GOAL!r}")
        scores, worths = zip(*self.knots, strict=True)
        if list(scores) != sorted(set(scores)) or list(worths) != sorted(worths):
            raise ValueError("the knots do not rise")
        if min(worths) < 0 or max(worths) > 10:
            raise ValueError("a knot is worth less than 0 or more than 10")
        return self

    def score(self, given: float) -> float:
        """What a score is worth: between two knots the line between them, beyond them the nearest knot."""
        at = bisect_right([knot[0] for knot in self.knots], given)
        if at in (0, len(self.knots)):
            return self.knots[0 if at == 0 else -1][1]
        (low, worth), (high, more) = self.knots[at - 1], self.knots[at]
        return worth + (more - worth) * (given - low) / (high - low)

    def applied(self, rating: Rating) -> Rating:
        """The rating with its GOAL calibrated; that of another rater, and one without GOAL, as it is."""
        if rating.rater != self.rater or GOAL not in rating.scores:
            return rating
        return rating.model_copy(update={"scores": {**rating.scores, GOAL: self.score(rating.scores[GOAL])}})


def read_calibration(path: Path) -> Calibration:
    """The calibration in a file. ConfigError says what is wrong with it."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(f"{path} is too large for a calibration; name the calibration.json of an audit.")
        value: Any = read_json(read_text(path))
        return Calibration.model_validate(value)
    except OSError as error:
        raise ConfigError(
            f"The calibration {path} cannot be read ({error.strerror}); run `sotopia-pi audit`, or correct "
            "judge.calibration."
        ) from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(
            f"{path} is no calibration ({where + ': ' if where else ''}{problem['msg']}); name the calibration.json "
            "of an audit."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no JSON ({error}); name the calibration.json of an audit.") from error
