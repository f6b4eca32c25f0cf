"""Social bias in numbers: paired shifts between groups, corrected; the sentences and the page about them."""

from sotopia_pi.evaluation.bias.page import bias_page, bias_table
from sotopia_pi.evaluation.bias.shifts import Asked, Shown, noise, shifts
from sotopia_pi.evaluation.bias.wording import sentence

__all__ = ["Asked", "Shown", "bias_page", "bias_table", "noise", "sentence", "shifts"]
