"""Evaluation: what the policies scored, how sure that is, and the report that says so.

`Result` rows go in; `evaluations` and `comparisons` turn them into numbers, `render_table` and `write` show them.
"""

from sotopia_pi.evaluation.figures import figure_svg
from sotopia_pi.evaluation.records import Result
from sotopia_pi.evaluation.report import ReportData, Sample, SampleTurn, build, render_html, write
from sotopia_pi.evaluation.statistics import Comparison, Estimate, clustered_mean, paired
from sotopia_pi.evaluation.summary import comparisons, evaluations
from sotopia_pi.evaluation.table import render_table

__all__ = [
    "Comparison",
    "Estimate",
    "ReportData",
    "Result",
    "Sample",
    "SampleTurn",
    "build",
    "clustered_mean",
    "comparisons",
    "evaluations",
    "figure_svg",
    "paired",
    "render_html",
    "render_table",
    "write",
]
