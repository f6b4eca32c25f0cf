"""Overlap check: is a scenario a near-duplicate of one that policies are evaluated on?

Two texts are compared by the runs of words they share and, where an embedder is given, by meaning. Numbers count as
equal, case, punctuation and hint tags do not count, and the order of the goals does not matter, so that a scenario
with the roles swapped or the prices changed is still recognised. An index by word runs makes a check cost what the
texts have in common, not what there is to compare with.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from sotopia_pi.world.records import Scenario, SocialTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Situations with fewer runs of words than this are too general to be compared by themselves.
_TELLING = 3

#: Texts to one row of unit length each.
Embed: TypeAlias = Callable[[Sequence[str]], "NDArray[np.float32]"]
Floats: TypeAlias = "NDArray[np.float64]"
_T = TypeVar("_T")

_TAG = re.compile(r"</?\w{1,40}(?:\s[^<>]{0,80})?>")
_WORD = re.compile(r"[^\W\d_]+|\d[\d.,:]*")


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on two texts are near-duplicates; reaching any one of them is enough.

    `shared`: the part of the shorter text's runs of `run` words that the other has too; `situation`: the same of the
    situations alone, where they are long enough to tell. `jaccard`: runs of `shingle` words in both over runs in
    either. `cosine`: similarity of the embeddings, where there are any. Unrelated scenarios share at most 0.03 of
    their runs and have a Jaccard index of at most 0.1; those written to one pattern begin at twice that.
    """

    run: int = 8
    shared: float = 0.20
    situation: float = 0.50
    shingle: int = 3
    jaccard: float = 0.25
    cosine: float = 0.80


@dataclass(frozen=True, slots=True)
class Text:
    """What is compared: the situation and the goals of a scenario, called `label` in messages."""

    label: str
    parts: tuple[str, ...]

    @property
    def whole(self) -> str:
        """Situation and goals in one text, without hint tags."""
        return _TAG.sub(" ", " ".join(self.parts))


@dataclass(frozen=True, slots=True)
class Match:
    """A text and the one it is too close to; the measures as in `Limits`, `cosine` None where it was not computed."""

    text: Text
    other: Text
    shared: float
    situation: float
    jaccard: float
    cosine: float | None
    exact: bool

    @property
    def why(self) -> str:
        """The measures in words."""
        if self.exact:
            return "the same words"
        meaning = "" if self.cosine is None else f", cosine {self.cosine:.2f}"
        runs = f"{self.shared:.0%} of the word runs shared, {self.situation:.0%} of the situation's"
        return f"{runs}, Jaccard {self.jaccard:.2f}{meaning}"

    def describe(self, width: int = 100) -> str:
        """The pair in one sentence, both texts shortened to `width` characters, with the measures."""
        one, two = (shorten(text.whole, width, placeholder=" …") for text in (self.text, self.other))
        return f'{self.text.label} "{one}" is too close to {self.other.label} "{two}": {self.why}'


def text_of(item: Scenario | SocialTask, label: str) -> Text:
    """What is compared of a scenario or of a task's scenario."""
    scenario = item.scenario if isinstance(item, SocialTask) else item
    return Text(label, (scenario.situation, *scenario.goals))


def near_duplicates(trained: Iterable[SocialTask], held_out: Iterable[SocialTask]) -> list[Match]:
    """The open scenarios to train on that are too close to open held-out ones.

    Verified scenarios are left out: their catalogues keep them apart, however alike their wording is.
    """
    texts = [
        list({task.scenario.id: text_of(task, name) for task in tasks if not task.scenario.verified}.values())
        for name, tasks in (("the scenario to train on", trained), ("the held-out scenario", held_out))
    ]
    return list(OverlapIndex(texts[1]).matches(texts[0])) if all(texts) else []


def words(text: str) -> list[str]:
    """The words that count: lower case, every number as "#", hint tags left out."""
    plain = unicodedata.normalize("NFKC", _TAG.sub(" ", text)).casefold()
    return ["#" if word[0].isdigit() else word for word in _WORD.findall(plain)]


def grams(parts: Iterable[Sequence[str]], size: int) -> set[str]:
    """All runs of `size` words within each part; a shorter part has none."""
    return {" ".join(part[i : i + size]) for part in parts for i in range(len(part) - size + 1)}


class _Runs:
    """Which texts hold which runs of words of one size."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._places: dict[str, array[int]] = {}
        self._counts = array("i")

    def add(self, parts: Sequence[Sequence[str]]) -> None:
        """Adds the runs of one more text."""
        found, number = grams(parts, self._size), len(self._counts)
        self._counts.append(len(found))
        for gram in found:
            self._places.setdefault(gram, array("i")).append(number)

    def common(self, parts: Sequence[Sequence[str]]) -> tuple[Floats, Floats, int]:
        """How many of a text's runs each text added has, how many each has in all, and how many the text has."""
        import numpy as np

        found = grams(parts, self._size)
        hits = np.frombuffer(b"".join(self._places[gram] for gram in found if gram in self._places), np.intc)
        counts = np.array(self._counts, np.float64)
        return np.bincount(hits, minlength=len(counts)).astype(np.float64), counts, len(found)


class OverlapIndex:
    """Texts to compare with, indexed by the runs of words in them."""

    def __init__(self, texts: Iterable[Text] = (), limits: Limits | None = None, embed: Embed | None = None) -> None:
        self.limits = limits or Limits()
        self._embed = embed
        self._texts: list[Text] = []
        self._exact: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        self._runs = _Runs(self.limits.run)
        self._situations = _Runs(self.limits.run)
        self._shingles = _Runs(self.limits.shingle)
        self._vectors: list[NDArray[np.float32]] = []
        self.add(texts)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, texts: Iterable[Text]) -> None:
        """Adds texts to compare with."""
        added = list(texts)
        for text in added:
            parts = [words(part) for part in text.parts]
            self._exact[_exact(parts)].append(len(self._texts))
            self._runs.add(parts)
            self._situations.add(parts[:1])
            self._shingles.add(parts)
            self._texts.append(text)
        if self._embed is not None and added:
            self._vectors.append(self._embed([text.whole for text in added]))

    def find(self, text: Text) -> Match | None:
        """The text of the index that `text` is closest to, where it is too close to any."""
        return next(self.matches([text]), None)

    def matches(self, texts: Iterable[Text]) -> Iterator[Match]:
        """For every text that is too close to one of the index: the closest pair, in the order of `texts`."""
        for batch in _batched(texts, 256):
            for text, cosines in zip(batch, self._cosines(batch), strict=True):
                match = self._closest(text, cosines) if self._texts else None
                if match is not None:
                    yield match

    def _cosines(self, batch: Sequence[Text]) -> Iterable[Floats | None]:
        if self._embed is None or not self._vectors:
            return [None] * len(batch)
        import numpy as np

        if len(self._vectors) > 1:
            self._vectors = [np.concatenate(self._vectors)]
        similarity: Floats = (self._embed([text.whole for text in batch]) @ self._vectors[0].T).astype(np.float64)
        return similarity

    def _closest(self, text: Text, cosines: Floats | None) -> Match | None:
        """Measures the text against all of the index at once; the first of those that are equally close."""
        import numpy as np

        limits, parts = self.limits, [words(part) for part in text.parts]
        shared = _share(*self._runs.common(parts))
        situation = _share(*self._situations.common(parts[:1]), telling=_TELLING)
        both, counts, own = self._shingles.common(parts)
        jaccard = both / np.maximum(counts + own - both, 1)
        closeness = np.maximum(shared / limits.shared, situation / limits.situation)
        closeness = np.maximum(closeness, jaccard / limits.jaccard)
        if cosines is not None:
            closeness = np.maximum(closeness, cosines / limits.cosine)
        same = self._exact.get(_exact(parts))
        at = same[0] if same else int(closeness.argmax())
        if not same and closeness[at] < 1:
            return None
        return Match(
            text,
            self._texts[at],
            shared=float(shared[at]),
            situation=float(situation[at]),
            jaccard=float(jaccard[at]),
            cosine=None if cosines is None else float(cosines[at]),
            exact=bool(same),
        )


def _share(both: Floats, counts: Floats, own: int, telling: int = 1) -> Floats:
    """The part of the shorter text's runs that both have; 0 where that text has fewer runs than are `telling`."""
    import numpy as np

    fewer = np.minimum(counts, own)
    return np.where(fewer >= telling, both / np.maximum(fewer, 1), 0.0)


def _exact(parts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Equal for texts of the same words, whichever goal comes first."""
    return (*(" ".join(part) for part in parts[:1]), *sorted(" ".join(part) for part in parts[1:]))


def _batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    batch: list[_T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
