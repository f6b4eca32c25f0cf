"""Task generation: from inspirational prompts to scenarios, through any model.

Prompts come from the package or from data sets that users download (`read_prompts`), are drawn in a seeded order
(`draw`) and given to a model with examples from the training world (`Writer`). Replies are checked (`read_scenario`),
asked again once, and compared with what policies are evaluated on; a `Generation` keeps everything it was answered.
"""

from sotopia_pi.world.generation.drafts import Cast, Violation, read_scenario
from sotopia_pi.world.generation.drawing import draw
from sotopia_pi.world.generation.generate import Generation, Outcome, Rejection, Writer
from sotopia_pi.world.generation.journal import Attempt, Journal
from sotopia_pi.world.generation.ledger import Ledger
from sotopia_pi.world.generation.report import cast_all, write_report, write_tasks
from sotopia_pi.world.generation.sources import (
    BUILTIN,
    FORMATS,
    BadRow,
    BadRows,
    Format,
    Prompt,
    builtin_prompts,
    read_prompts,
)

__all__ = [
    "BUILTIN",
    "FORMATS",
    "Attempt",
    "BadRow",
    "BadRows",
    "Cast",
    "Format",
    "Generation",
    "Journal",
    "Ledger",
    "Outcome",
    "Prompt",
    "Rejection",
    "Violation",
    "Writer",
    "builtin_prompts",
    "cast_all",
    "draw",
    "read_prompts",
    "read_scenario",
    "write_report",
    "write_tasks",
]
