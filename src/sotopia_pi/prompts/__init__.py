"""Every text a model is shown, as files in this folder; a user's own folder may replace any of them.

A file holds `$name` placeholders (string.Template). They are filled in one pass, so text that comes from a model
or an imported file is never itself expanded.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from string import Template

from sotopia_pi.errors import ConfigError
from sotopia_pi.inputs import read_text
from sotopia_pi.records import content_hash

_OURS = Path(__file__).parent


class Prompts:
    """The prompt texts in use: those of `folder` where it has the file, else the package's own."""

    def __init__(self, folder: Path | None = None, part: str = "") -> None:
        """`part` is a subfolder with texts of its own, which do not count for the `version` of a run."""
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"The prompt folder {folder} does not exist; create it or remove it from the config.")
        self.folder = folder
        self._folder = folder / part if folder else None
        self._ours = _OURS / part
        self._templates = {path.stem: self._load(path.name) for path in sorted(self._ours.glob("*.txt"))}
        self._parts = {name: _parts(template) for name, template in self._templates.items()}

    def _load(self, name: str) -> Template:
        path = self._folder / name if self._folder and (self._folder / name).exists() else self._ours / name
        try:
            template = Template(read_text(path).strip())
        except OSError as error:
            raise ConfigError(
                f"The prompt {path} cannot be read ({error.strerror}); give a UTF-8 text file."
            ) from error
        allowed = set(Template((self._ours / name).read_text(encoding="utf-8")).get_identifiers())
        if not template.is_valid() or not set(template.get_identifiers()) <= allowed:
            raise ConfigError(f"{path} uses an unknown placeholder; {name} may use ${', $'.join(sorted(allowed))}.")
        return template

    def fill(self, name: str, /, **fields: object) -> str:
        """The text `name` with its placeholders filled; KeyError when one is missing (a programming error)."""
        parts = self._parts[name]
        return "".join([str(fields[part]) if at % 2 else part for at, part in enumerate(parts)])

    @property
    def version(self) -> str:
        """Hash of all texts, stored with a run so that a resumed run cannot mix prompts."""
        return content_hash({name: template.template for name, template in self._templates.items()})


def _parts(template: Template) -> list[str]:
    """A template as text and placeholders' names in turn: joining them is several times as fast as `substitute`."""
    parts, end = [""], 0
    for found in template.pattern.finditer(template.template):
        name = found["named"] or found["braced"]
        parts[-1] += template.template[end : found.start()]
        if name:
            parts += [name, ""]
        else:  # an escaped dollar
            parts[-1] += template.delimiter
        end = found.end()
    parts[-1] += template.template[end:]
    return parts


@cache
def default_prompts() -> Prompts:
    """The package's own texts."""
    return Prompts()
