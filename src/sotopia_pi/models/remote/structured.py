"""How a server wants to be asked: what it does not take is found out from its refusals.

A JSON schema first, then "some JSON object", then the bare prompt, which asks for JSON in words. A parameter that a
refusal names as unsupported (a temperature, a seed) is left out, `max_tokens` is sent under its newer name; of
parameters that exclude each other the one goes that says nothing (`top_p = 1`).

A refusal changes the call that it is about, at once. Later calls are changed when refusals repeat: after two that name
the thing as unsupported, by a server that never took it, else after five; an answer to a call with the thing starts the
count again. What is about the words of one call (a filter of contents, a generation that failed) never counts, and
neither does a call that no change could help.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sotopia_pi.models.protocol import JsonSchema, Message, Sampling
from sotopia_pi.models.remote.complaints import FILTERED, Said
from sotopia_pi.models.words import apart

#: What a call can do without, under the names by which it is reported; `max_tokens` is renamed and not left out.
SCHEMA, OBJECT = "json_schema", "json_object"
_FORMATS, _DIALS = (SCHEMA, OBJECT), ("temperature", "top_p", "seed", "max_tokens")
_RENAMED = "max_completion_tokens"
#: Of parameters that exclude each other, the first of these goes, unless another has no effect as it is.
_LEAST = ("seed", "top_p", "temperature")

#: A refusal that no other way of asking would change.
_FINAL = re.compile(r"context.{0,20}length|maximum context|too long|too many tokens|max_model_len", re.I)
_OF_ONE_CALL = re.compile(
    r"json_validate|failed_generation|failed to (generate|validate|parse)|could not (be )?pars", re.I
)
_UNSUPPORTED = re.compile(
    r"unsupported|un(known|recogni[sz]ed|expected|available)|no longer|deprecated"
    r"|(not|n't) (\w+ )?(support|allow|permit|recogni|accept|available|implement|enabled|valid|use\b|set\b|specified)"
    r"|extra_?(forbidden| (inputs?|fields?|param|arg))|only (the |its )?default|only .{0,30}(support|allow|accept)"
    r"|cannot be (set|used|specified|changed)|invalid (param|argument|field|value for)|use 'max_completion",
    re.I,
)
_EXCLUSIVE = re.compile(
    r"\bboth\b|only one|\beither\b|one of|exclusive|together|at the same time|simultaneous|combin|in conjunction", re.I
)
_ABOUT_FORMAT = re.compile(r"response.?format|json.?(schema|object|mode)|structured.?output|guided|grammar", re.I)
_FORMAT_REFUSED = re.compile(rf"{_UNSUPPORTED.pattern}|must be|invalid.{{0,20}}(schema|format)", re.I)
#: What stands between quotation marks; an apostrophe inside a word is none.
_QUOTED = re.compile(r"(?<!\w)(?:(['\"`])(?P<a>.*?)\1|“(?P<b>.*?)”|‘(?P<c>.*?)’|«(?P<d>.*?)»)(?!\w)")
#: A quotation of so many words is not the name of a parameter.
_QUOTATION = 3


class Evidence(Enum):
    """How much a refusal says about other calls: nothing, little, or that something is not supported."""

    NONE = 0
    SILENT = 2
    NAMED = 5


_ENOUGH = 10


@dataclass(frozen=True, slots=True)
class Blame:
    """What a refused call is tried without, and what that says about other calls."""

    what: str
    evidence: Evidence


@dataclass(slots=True)
class Manner:
    """What one server takes: learned from refusals, for formats by schema, since it may take one and refuse another."""

    _left_out: set[tuple[str, str]] = field(default_factory=set)
    _taken: set[tuple[str, str]] = field(default_factory=set)
    _evidence: dict[tuple[str, str], int] = field(default_factory=dict)

    def start(self, schema: JsonSchema | None) -> frozenset[str]:
        """What to leave out of a call from the beginning."""
        return frozenset(what for what in (*_FORMATS, *_DIALS) if _place(what, schema) in self._left_out)

    def answered(self, schema: JsonSchema | None, without: frozenset[str], blames: Sequence[Blame]) -> None:
        """Learns from a call that was answered without some things, after refusals that blamed some of them."""
        for what in _sent(schema, without):
            self._evidence.pop(_place(what, schema), None)
            self._taken.add(_place(what, schema))
        for blame in blames:
            place, evidence = _place(blame.what, schema), blame.evidence
            if evidence is Evidence.NAMED and place in self._taken:
                evidence = Evidence.SILENT
            self._evidence[place] = self._evidence.get(place, 0) + evidence.value
            if self._evidence[place] >= _ENOUGH:
                self._left_out.add(place)


def _place(what: str, schema: JsonSchema | None) -> tuple[str, str]:
    return (schema.name if schema is not None and what in _FORMATS else "", what)


def _sent(schema: JsonSchema | None, without: frozenset[str]) -> list[str]:
    formats = [what for what in _FORMATS if what not in without][:1] if schema is not None else []
    return [*formats, *(what for what in _DIALS if what not in without)]


def not_sent(schema: JsonSchema | None, without: frozenset[str]) -> list[str]:
    """What a call that was answered did not ask for although the config does."""
    wanted = [*(_FORMATS if schema is not None else ()), *_DIALS[:-1]]
    return [what for what in wanted if what in without]


def blame(said: Said, sampling: Sampling, schema: JsonSchema | None, without: frozenset[str]) -> Blame | None:
    """What to try a call without after a refusal with status 400 or 422; None when nothing is left to try."""
    words = f"{said.code} {said.words}"
    if _FINAL.search(words):
        return None
    one_call = bool(_OF_ONE_CALL.search(words) or FILTERED.search(words))
    if not one_call and (dial := _refused_dial(said, sampling, without)):
        return Blame(dial, Evidence.NAMED)
    form = next((form for form in _sent(schema, without) if form in _FORMATS), None)
    if form is None:
        return None
    if one_call:
        return Blame(form, Evidence.NONE)
    named = _ABOUT_FORMAT.search(f"{words} {said.param}") and _FORMAT_REFUSED.search(words)
    return Blame(form, Evidence.NAMED if named else Evidence.SILENT)


def _refused_dial(said: Said, sampling: Sampling, without: frozenset[str]) -> str | None:
    """The parameter that a refusal names as unsupported, or as one of two that exclude each other."""
    words = _QUOTED.sub(_without_quotations, said.words)
    named = [dial for dial in _DIALS if re.search(rf"(?<!\w){dial}(?!\w)", words, re.I) or said.param == dial]
    left = [dial for dial in named if dial not in without]
    if len(left) > 1 and _EXCLUSIVE.search(words):
        return _least_telling(left, sampling)
    return left[0] if left and _UNSUPPORTED.search(f"{said.code} {words}") else None


def _without_quotations(found: re.Match[str]) -> str:
    inside = next(part for part in found.group("a", "b", "c", "d") if part is not None)
    return " " if len(inside.split()) >= _QUOTATION else found[0]


def _least_telling(dials: Sequence[str], sampling: Sampling) -> str | None:
    neutral = [dial for dial in ("top_p", "temperature") if dial in dials and getattr(sampling, dial) == 1.0]
    return next((dial for dial in (*neutral, *_LEAST) if dial in dials), None)


def request(
    model: str,
    messages: Sequence[Message],
    sampling: Sampling,
    seed: int,
    schema: JsonSchema | None,
    without: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The body of a chat-completions request that does without some things.

    No words in it can be taken for the border of a turn.
    """
    said = [Message(role=message["role"], content=apart(message["content"])) for message in messages]
    body: dict[str, Any] = {"model": model, "messages": said}
    parameters = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": seed & 0x7FFFFFFF,  # some servers take no more than 32 bits
    }
    body |= {name: value for name, value in parameters.items() if name not in without}
    body[_RENAMED if "max_tokens" in without else "max_tokens"] = sampling.max_tokens
    if schema is not None and SCHEMA not in without:
        wanted = {"name": schema.name, "schema": schema.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    elif schema is not None and OBJECT not in without:
        body["response_format"] = {"type": "json_object"}
    return body
