"""Overlap check: is a scenario a near-duplicate of one that policies are evaluated on?

Two texts are compared by the runs of words they share and, where an embedder is given, by meaning. Numbers count as
equal, case, punctuation and hint tags do not count, and the order of the goals does not matter, so that a scenario
with the roles swapped or the prices changed is still recognised. An index by word runs makes a check cost what the
texts have in common, not what there is to compare with.

Scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan, …) have no words to be
told apart. There characters are compared, whatever stands between them, and so many of them count as one word: two
Chinese characters, three kana, four letters or marks of the other scripts. A run of 8 words is then 16 Chinese
characters. Numbers written in Chinese characters are numbers.

Of a text without a run of 3 words in any part, such as one of emoji alone, nothing is known but whether it is the same
as another; it is called too short to be compared.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from sotopia_pi.printable import one_line
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
#: Letters and marks of scripts without spaces: Chinese characters; kana; Thai, Lao, Tibetan, Burmese, Khmer, Tai,
#: Balinese, Javanese, Yi and bopomofo.
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
_OTHERS = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u0f00\u0f40-\u0fbc\u1000-\u103f\u1050-\u108f\u109a-\u109d"
    "\u1780-\u17d3\u17d7\u17dc\u17dd\u1980-\u19c9\u1a20-\u1a7c\u1b00-\u1b4c\u3105-\u312f\u31a0-\u31bf\ua000-\ua48c"
    "\ua980-\ua9c0\uaa60-\uaadd"
)
_UNSPACED = f"{_HAN}{_KANA}{_OTHERS}"
_WITHOUT_SPACES = re.compile(f"[{_UNSPACED}]")
#: What a character of each counts for where a word counts for the last.
_WEIGHTS = ((re.compile(f"[{_HAN}]"), 6), (re.compile(f"[{_KANA}]"), 4), (re.compile(f"[{_OTHERS}]"), 3))
_WORD_WEIGHT = 12
_HAN_NUMBER = re.compile("[〇零一二三四五六七八九十百千万萬億亿兆两兩]+")
_PIECE = re.compile(rf"[{_UNSPACED}]|\d[\d.,:]*|[^\W\d_{_UNSPACED}]+")


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

    def shortened(self, width: int = 100) -> str:
        """The whole on one line of `width` characters at most, fit to be printed."""
        return one_line(self.whole, width)


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
        one, two = (text.shortened(width) for text in (self.text, self.other))
        return f'{self.text.label} "{one}" is too close to {self.other.label} "{two}": {self.why}'


def text_of(item: Scenario | SocialTask, label: str) -> Text:
    """What is compared of a scenario or of a task's scenario."""
    scenario = item.scenario if isinstance(item, SocialTask) else item
    return Text(label, (scenario.situation, *scenario.goals))


class Compared(NamedTuple):
    """The pairs that are too close, and the texts on either side that are too short to be compared."""

    matches: list[Match]
    too_short: list[Text]


def near_duplicates(trained: Iterable[SocialTask], held_out: Iterable[SocialTask]) -> Compared:
    """The open scenarios to train on that are too close to open held-out ones.

    Verified scenarios are left out: their catalogues keep them apart, however alike their wording is.
    """
    texts = [
        list({task.scenario.id: text_of(task, name) for task in tasks if not task.scenario.verified}.values())
        for name, tasks in (("the scenario to train on", trained), ("the held-out scenario", held_out))
    ]
    return OverlapIndex(texts[1]).compare(texts[0]) if all(texts) else Compared([], [])


def words(text: str) -> list[str]:
    """The words that count: lower case, every number as "#", hint tags left out."""
    plain = unicodedata.normalize("NFKC", _TAG.sub(" ", text)).casefold()
    pieces = _WORD
    if _WITHOUT_SPACES.search(plain):
        plain, pieces = _HAN_NUMBER.sub(" 0 ", plain), _PIECE
    return ["#" if word[0].isdigit() else word for word in pieces.findall(plain)]


def grams(parts: Iterable[Sequence[str]], size: int) -> set[str]:
    """All runs of `size` words within each part; a shorter part has none."""
    found: set[str] = set()
    for part in parts:
        if "".join(part).isascii() or not any(map(_WITHOUT_SPACES.match, part)):
            found |= {" ".join(part[i : i + size]) for i in range(len(part) - size + 1)}
        else:
            found |= _weighted(part, size * _WORD_WEIGHT)
    return found


def length_of(part: Sequence[str]) -> int:
    """How many words a text of these `words` counts for."""
    return len(part) if "".join(part).isascii() else sum(map(_weight, part)) // _WORD_WEIGHT


@lru_cache(maxsize=1 << 16)
def _weight(word: str) -> int:
    return next((weight for script, weight in _WEIGHTS if script.match(word)), _WORD_WEIGHT)


def _weighted(part: Sequence[str], size: int) -> set[str]:
    """The shortest runs from each place on that weigh `size` or more."""
    weights = [_weight(word) for word in part]
    found, end, weight = set(), 0, 0
    for start, own in enumerate(weights):
        while weight < size and end < len(part):
            weight += weights[end]
            end += 1
        if weight < size:
            break
        found.add(" ".join(part[start:end]))
        weight -= own
    return found


class _Runs:
    """Which texts hold which runs of words of one size."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._places: dict[str, array[int]] = {}
        self._counts = array("i")

    def add(self, parts: Sequence[Sequence[str]]) -> int:
        """Adds the runs of one more text; how many it has."""
        found, number = grams(parts, self._size), len(self._counts)
        self._counts.append(len(found))
        for gram in found:
            self._places.setdefault(gram, array("i")).append(number)
        return len(found)

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
        self._too_short: list[Text] = []
        self.add(texts)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, texts: Iterable[Text]) -> None:
        """Adds texts to compare with."""
        added = list(texts)
        for text in added:
            parts = [words(part) for part in text.parts]
            self._exact[_exact(text, parts)].append(len(self._texts))
            self._runs.add(parts)
            self._situations.add(parts[:1])
            if not self._shingles.add(parts) and self._embed is None:
                self._too_short.append(text)
            self._texts.append(text)
        if self._embed is not None and added:
            self._vectors.append(self._embed([text.whole for text in added]))

    def compare(self, texts: Iterable[Text]) -> Compared:
        """The matches of the texts, and what is too short to be compared among them and in the index."""
        held = len(self._too_short)
        matches = list(self.matches(texts))
        checked, self._too_short = self._too_short[held:], self._too_short[:held]
        return Compared(matches, [*checked, *self._too_short])

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
        same = self._exact.get(_exact(text, parts))
        if not own and not same and self._embed is None:
            self._too_short.append(text)
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


def _exact(text: Text, parts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Equal for texts of the same words, whichever goal comes first; a part without words is what stands there."""
    first, *others = (" ".join(words) or " ".join(part.split()) for words, part in zip(parts, text.parts, strict=True))
    return (first, *sorted(others))


def _batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    batch: list[_T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
