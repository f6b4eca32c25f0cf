"""Which part of a model's reply counts: docs/replies.md has the rule, for players, judges and writers of scenarios.

1. What a model thinks is no answer: thoughts are passed over (thoughts.py), and a reply that ends inside one has none.
2. Of what is left the last object counts that has the asked key, itself or as the only thing in it. Slips of writing
   are mended (jsontext.py). What begins like that object and cannot be read is in its place: nothing else counts then.
3. Marks of thoughts inside the strings of a readable object are words.
4. Of a reply that was cut off at its limit only an object counts that it ends or begins with: one in the middle is what
   a thought without marks was at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, TypeVar

from sotopia_pi.models.jsontext import Found, JsonObject, ObjectReader, json_object_end, only_object
from sotopia_pi.models.protocol import Finish
from sotopia_pi.models.thoughts import end_of_thought, first_mark, next_mark

Read = TypeVar("Read")

#: Characters of a reply that are read; 100,000 tokens of thought and an answer.
LONGEST = 400_000
#: Characters of an unusable reply that its model is shown when it is asked again.
_SHOWN = 4_000
_OPENING, _CLOSING = re.compile(r"\s*(?:```\w*\s*)?"), re.compile(r"[\s`]*")


class Cause(StrEnum):
    """Why a reply holds no answer that can be used."""

    CUT = "cut off"
    THINKING = "unfinished thought"
    FILTERED = "filtered"
    TOOLS = "tool call"
    EMPTY = "empty"
    NO_JSON = "no JSON"
    BROKEN = "broken JSON"
    WRONG = "wrong JSON"
    TERMS = "unreadable terms"
    UNNAMED = "unnamed terms"
    OTHER_TERMS = "other terms"


#: What each cause means and what can be done about it. `{sampling}` holds max_tokens, `{form}` what teaches the form.
_ADVICE = {
    Cause.CUT: "max_tokens ended the reply before its JSON did; raise {sampling}.max_tokens",
    Cause.THINKING: "max_tokens went on thinking; raise {sampling}.max_tokens, or switch thinking off",
    Cause.FILTERED: "the provider's content filter withheld the reply; change its settings, or the model",
    Cause.TOOLS: "the model called a tool, and none is offered; use another model",
    Cause.EMPTY: "nothing was written outside of thoughts; look at the server, or use another model",
    Cause.NO_JSON: "words without a JSON object; {form}",
    Cause.BROKEN: "JSON that cannot be read; {form}",
    Cause.WRONG: "JSON that is not what was asked for; {form}",
    Cause.TERMS: "terms that the kind of task cannot read; {form}",
    Cause.UNNAMED: "a proposal whose words do not name its terms; {form}",
    Cause.OTHER_TERMS: "words that name other terms than they declare; {form}",
}
_FORM = {
    "player": "training teaches the form, and so does a server that keeps to JSON schemas",
    "judge": 'use a larger judge, a server that keeps to JSON schemas, or method = "likelihood" with local weights',
}


#: What a model is told whose reply ended so, in place of what is wrong with the text.
_SAID = {
    Cause.CUT: "the reply was cut off before its JSON object was whole; answer more briefly",
    Cause.THINKING: "the reply ended inside a thought, before any answer; think less",
    Cause.FILTERED: "a content filter withheld the reply; put it in other words",
    Cause.TOOLS: "there are no tools to call",
}


def advice(cause: str, of: Literal["player", "judge"] = "player") -> str:
    """What an unusable reply's cause means and what can be done about it; empty for a text that names no cause."""
    if cause not in list(Cause):
        return ""
    return _ADVICE[Cause(cause)].format(sampling="sampling" if of == "player" else "judge.sampling", form=_FORM[of])


class AnswerError(ValueError):
    """A reply cannot be used; the message says what is wrong with it, for the model that wrote it."""

    def __init__(self, message: str, cause: Cause = Cause.WRONG) -> None:
        super().__init__(message)
        self.cause = cause


def read_reply(
    text: str, finish: Finish, named: str, holds: Callable[[JsonObject], bool], use: Callable[[JsonObject], Read]
) -> Read:
    """What `use` makes of the object of a reply that counts.

    `holds` says whether an object is the asked one, `named` what stands in every such object: its key or its token.
    Where none is, `use` is given the last object of another kind. AnswerError, also of `use`.
    """
    try:
        return use(_chosen(text, finish, named, holds))
    except AnswerError as error:
        cause = _cause(text, finish, error.cause)
        raise AnswerError(_SAID.get(cause, str(error)), cause) from None


def _cause(text: str, finish: Finish, cause: Cause) -> Cause:
    """Why a reply that ended so cannot be used, when this is what is wrong with its text."""
    if finish == "filtered":
        return Cause.FILTERED
    if finish == "tools":
        return Cause.TOOLS
    if finish == "length" and not text.strip():  # thoughts that the server sends apart took all of it
        return Cause.THINKING
    return Cause.CUT if finish == "length" and cause in (Cause.EMPTY, Cause.NO_JSON, Cause.BROKEN) else cause


def _chosen(text: str, finish: Finish, named: str, holds: Callable[[JsonObject], bool]) -> JsonObject:
    if len(text) > LONGEST:
        raise AnswerError(f"the reply is longer than {LONGEST:,} characters", Cause.BROKEN)
    if (only := only_object(text)) is not None:
        return _unwrapped(only, holds)
    answer = _read(text)
    if answer.unfinished:
        raise AnswerError(_SAID[Cause.THINKING], Cause.THINKING)
    found = answer.settled() if finish == "length" else answer.found
    end = len(text)
    for item in reversed(found):
        if item.value is not None and holds(value := _unwrapped(item.value, holds)):
            return value
        if item.value is None and text.find(named, item.start, end) >= 0:
            raise AnswerError(f"the reply is not valid JSON: {item.why}", Cause.BROKEN)
        end = item.start
    if others := [item.value for item in found if item.value is not None]:
        return others[-1]
    if found:
        raise AnswerError(f"the reply is not valid JSON: {found[-1].why}", Cause.BROKEN)
    if not answer.words.strip():
        raise AnswerError("the reply is empty; there is no JSON object", Cause.EMPTY)
    raise AnswerError("there is no JSON object", Cause.NO_JSON)


def _unwrapped(value: JsonObject, holds: Callable[[JsonObject], bool]) -> JsonObject:
    """The object that is the only thing in `value`, where that one is asked for and `value` is not."""
    if len(value) == 1 and not value.repeated and not holds(value):
        (inner,) = value.values()
        if isinstance(inner, JsonObject) and holds(inner):
            return inner
    return value


@dataclass(frozen=True, slots=True)
class _Answer:
    """A reply without its thoughts: what begins like an object, and whether the reply ends inside a thought.

    `spans` are the parts of `text` outside of thoughts.
    """

    text: str
    found: list[Found]
    spans: list[tuple[int, int]]
    unfinished: bool = False

    @property
    def words(self) -> str:
        """What stands outside of thoughts."""
        return "".join(self.text[start:end] for start, end in self.spans)

    def settled(self) -> list[Found]:
        """What counts of `found` where the reply was cut off."""
        if not self.found:
            return []
        last, first = self.found[-1], self.found[0]
        begin, end = self.spans[-1]
        if last.start >= begin and _CLOSING.fullmatch(self.text, last.end, end):
            return self.found
        begin = next(begin for begin, end in self.spans if self.text[begin:end].strip())
        return [first] if first.start >= begin and _OPENING.fullmatch(self.text, begin, first.start) else []


def _read(text: str) -> _Answer:
    reader = ObjectReader(text, lambda comment: next_mark(comment, 0, braces=False) is not None)
    found: list[Found] = []
    spans: list[tuple[int, int]] = []
    begin = 0
    mark = first_mark(text) or next_mark(text, 0)
    while mark is not None:
        at = mark.end
        if mark.kind == "brace":
            found.append(_until_mark(text, reader.at(mark.start)))
            at = found[-1].end
        elif mark.kind == "begin":
            spans.append((begin, mark.start))
            end = end_of_thought(text, mark)
            if end is None:
                return _Answer(text, found, spans, unfinished=True)
            begin = at = end
        elif mark.alone:
            found, spans, begin = [], [], at
        mark = next_mark(text, at)
    return _Answer(text, found, [*spans, (begin, len(text))])


def _until_mark(text: str, item: Found) -> Found:
    """What cannot be read ends where a thought begins or ends: it may be in one."""
    if item.value is not None:
        return item
    mark = next_mark(text, item.start + 1, item.end, braces=False)
    return replace(item, end=mark.start) if mark else item


def without_thoughts(text: str) -> str:
    """What stands outside of thoughts."""
    return _read(text[:LONGEST]).words.strip()


def shown_again(text: str) -> str:
    """What a model is shown of its own unusable reply: nothing that it thought, never nothing, and not too much."""
    return without_thoughts(text)[:_SHOWN] or "(no answer)"


def answer_end(text: str) -> int | None:
    """The index just after the first balanced `{…}` that stands outside of thoughts; None while there is none.

    Where a model that writes nothing behind its object can stop.
    """
    mark = first_mark(text) or next_mark(text, 0)
    while mark is not None:
        if mark.kind == "brace":
            return json_object_end(text, mark.start)
        at = end_of_thought(text, mark) if mark.kind == "begin" else mark.end
        if at is None:
            return None
        mark = next_mark(text, at)
    return None
