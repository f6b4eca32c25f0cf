"""The look of the report, its figures and the browser application: colours, light and dark.

Text keeps a contrast of 4.5 : 1 with its ground, marks 3 : 1 (WCAG AA).
"""

from __future__ import annotations

from importlib.resources import files
from string import Template

LIGHT = {
    "page": "#faf9f6",
    "card": "#ffffff",
    "ink": "#1d1c1a",
    "muted": "#5c5952",
    "line": "#dedad1",
    "accent": "#0b6560",
    "bar": "#429c95",
    "base": "#8b877e",
    "expert": "#b5620f",
    "bad": "#a3261d",
    "own": "#e2f0ee",
    "other": "#f0ede6",
    "badfill": "#fcebe8",
}
DARK = {
    "page": "#141513",
    "card": "#1c1d1b",
    "ink": "#ebe8e1",
    "muted": "#aca89f",
    "line": "#383934",
    "accent": "#62c4bc",
    "bar": "#2f8780",
    "base": "#7f7c74",
    "expert": "#e09a4a",
    "bad": "#ff9486",
    "own": "#173634",
    "other": "#2a2b28",
    "badfill": "#3b201d",
}

#: Colour pairs that must stay legible: (foreground, background, least contrast).
LEGIBLE = [
    *((text, ground, 4.5) for text in ("ink", "muted", "accent", "bad") for ground in ("page", "card")),
    *(("ink", ground, 4.5) for ground in ("own", "other", "badfill")),
    *(("muted", ground, 4.5) for ground in ("own", "other")),
    ("bad", "badfill", 4.5),
    ("expert", "card", 3.0),
    *((mark, "card", 3.0) for mark in ("bar", "base")),
    *(("ink", mark, 3.0) for mark in ("bar", "base")),
]

_FIGURE = Template("""\
.f text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.f text{font-size:13px;fill:$ink}
.f .t{font-weight:600;font-size:14px}.f .m{fill:$muted;font-size:12px}
.f .v{font-weight:600;paint-order:stroke;stroke:$card;stroke-width:4px}
.f .grid{stroke:$line;stroke-width:1}.f .axis{stroke:$muted;stroke-width:1}
.f .policy{fill:$bar}.f .base{fill:$base}.f .expert{fill:$card;stroke:$expert;stroke-width:2}
.f .ref{stroke:$expert;stroke-width:1.5;stroke-dasharray:5 4}.f .whisker{stroke:$ink;stroke-width:1.5;fill:none}
.f .curve{stroke:$accent;stroke-width:2;fill:none;stroke-linejoin:round}.f .dot{fill:$accent}.f .ground{fill:$card}
.f .a{fill:$bar}.f .b{fill:$card;stroke:$expert;stroke-width:1.5}.f .band{fill:$own;stroke:$bar;stroke-width:1}
.f .point{fill:$bar;fill-opacity:.4;stroke:$accent;stroke-width:1}
.f .same{stroke:$expert;stroke-width:1.5;stroke-dasharray:5 4}""")


def page_css() -> str:
    """The colours as CSS variables that follow the reader's light or dark setting, and the figures' rules in them."""
    light, dark = (";".join(f"--{name}:{colour}" for name, colour in theme.items()) for theme in (LIGHT, DARK))
    figures = _FIGURE.substitute({name: f"var(--{name})" for name in LIGHT})
    return f":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{figures}"


def shared_css() -> str:
    """All that report.html and the pages of the browser application have in common: colours, figures and parts."""
    parts = files("sotopia_pi.evaluation").joinpath("templates", "shared.css").read_text(encoding="utf-8")
    return f"{page_css()}\n{parts}"


def standalone_css() -> str:
    """The figures' rules in light colours without variables, which not every SVG reader knows."""
    return _FIGURE.substitute(LIGHT)


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two #rrggbb colours, 1 to 21."""
    brighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
