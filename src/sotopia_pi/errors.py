"""Every error a user can meet, as one small tree.

SotopiaError            a sentence that says what to do; the command line prints it and exits with `exit_code`
├── ConfigError         the configuration is wrong, or contradicts the stored run
├── WorldError          characters, scenarios or tasks cannot be read, or nobody fits a scenario
├── StoreError          the run's database or another file of it cannot be read or written
├── ModelError          a model is missing, cannot be loaded or cannot be reached
├── ServiceError        a model's server would answer no other call either; stops the run, fails no episode
├── BudgetError         the budget has no room for more; stops the run, fails no episode
└── TrainingError       nothing to train on, or training went wrong
"""

from __future__ import annotations


class SotopiaError(Exception):
    """An error whose message a user can act on."""

    exit_code = 1


class ConfigError(SotopiaError):
    """The configuration is wrong, or contradicts what the run directory already holds."""

    exit_code = 2


class WorldError(SotopiaError):
    """Characters, scenarios or tasks cannot be read, or no characters fit a scenario."""

    exit_code = 3


class StoreError(SotopiaError):
    """The run's database or another file of it cannot be read or written."""

    exit_code = 4


class ModelError(SotopiaError):
    """A model is missing, cannot be loaded or cannot be reached."""

    exit_code = 5


class ServiceError(SotopiaError):
    """A model's server answers nobody: it is down, or refuses the key or the model.

    No ModelError, so that what turns those into failed episodes and ratings lets it through.
    """

    exit_code = 5


class BudgetError(SotopiaError):
    """The budget has no room for more; what was played is stored and the run can be continued."""

    exit_code = 7


class TrainingError(SotopiaError):
    """There is nothing to train on, or training went wrong."""

    exit_code = 6
