"""How models mark what they think before they answer: where a thought begins and ends in the text of a reply.

A family is a pair of marks. A thought ends at the first end of its own family, whatever else stands in it. An end that
no thought was waiting for belongs to one that began in the prompt: all before it was thought. What the marks mean is
decided here; that a mark inside the words of an object is only words, by whoever reads objects (answers.py).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Kind = Literal["brace", "begin", "end"]


class Mark(NamedTuple):
    """A place in a text: a brace that may begin an object, or where a thought of `family` begins or ends.

    An end that is not `alone` ends only a thought that began in the reply: its mark means other things elsewhere.
    """

    kind: Kind
    family: str
    start: int
    end: int
    alone: bool = True


#: <NAME> … </NAME>: DeepSeek, Qwen, GLM, Phi and most others; EXAONE; Reflection; Seed-OSS; LongCat; …
_TAGS = (
    "think", "thinking", "thought", "thoughts", "reasoning", "reflection", "analysis", "rationale", "scratchpad",
    "monologue", "inner_monologue", "internal_monologue", "inner_thoughts", "antthinking", "ant_thinking",
    "longcat_think", "seed:think", "mm:think",
)  # fmt: skip
_PAIRS = {
    "magistral": ("[think]", "[/think]"),
    "kimi": ("◁think▷", "◁/think▷"),
    "command": ("|start_thinking|", "|end_thinking|"),
    "apertus": ("|inner_prefix|", "|inner_suffix|"),
    "openthinker": ("|begin_of_thought|", "|end_of_thought|"),
    "gemma": ("|channel", "channel|"),
    **{name: (name, f"/{name}") for name in _TAGS},
}
_CHANNEL, _GRANITE, _S1 = "channel", "granite", "s1"
#: What each mark means: its kind, family, and whether an end counts alone. In small letters, tags without < and >.
_MEANINGS: dict[str, tuple[Kind, str, bool]] = {
    **{begin: ("begin", family, True) for family, (begin, _) in _PAIRS.items()},
    **{end: ("end", family, True) for family, (_, end) in _PAIRS.items()},
    # gpt-oss: the end of a message, which is the end of a whole reply elsewhere; its heads are read by `_headed`
    **{f"|{name}|": ("end", _CHANNEL, False) for name in ("end", "call", "return")},
    # gpt-oss with its control tokens dropped
    "assistantfinal": ("end", _CHANNEL, True),
    "assistantanalysis": ("begin", _CHANNEL, True),
    "assistantcommentary": ("begin", _CHANNEL, True),
    **{f"here{verb} my thought process:": ("begin", _GRANITE, True) for verb in (" is", "'s")},
    **{f"here{verb} my response:": ("end", _GRANITE, False) for verb in (" is", "'s")},
}
_ANY = (
    r"<[^<>{}\n]{1,64}>|\[/?[Tt][Hh][Ii][Nn][Kk]\]|◁/?think▷|assistant(?:final|analysis|commentary)"
    r"|Here(?: is|'s) my (?:thought process|response):"
)
#: A brace before anything that no object begins with is a brace of prose.
_MARK, _MARK_OR_BRACE = re.compile(_ANY), re.compile(r"\{\s*+(?=[\"}'/#\w])|" + _ANY)
_DROPPED = re.compile(r"\s*+(?:analysis|commentary)(?=[^\s:.,;*_)'’-])")
#: Behind a control token that begins a part of a reply: the part's name, and the rest of gpt-oss's head.
_HEAD = re.compile(r"\s*+(\w++)(?:[^<{\n]{0,64}<\|constrain\|>)?(?:[^<{\n]{0,64}<\|message\|>)?")


def first_mark(text: str) -> Mark | None:
    """The mark of gpt-oss at the beginning of a reply whose control tokens were dropped ("analysisThe user wants")."""
    match = _DROPPED.match(text)
    return Mark("begin", _CHANNEL, 0, match.end()) if match else None


def next_mark(text: str, at: int, end: int | None = None, *, braces: bool = True) -> Mark | None:
    """The first mark of `text` from `at` on, up to `end` if given; with `braces` also `{`."""
    for match in (_MARK_OR_BRACE if braces else _MARK).finditer(text, at, len(text) if end is None else end):
        if match[0][0] == "{":
            return Mark("brace", "", match.start(), match.start() + 1)
        if mark := _meaning(text, match):
            return mark
    return None


def end_of_thought(text: str, begin: Mark) -> int | None:
    """The index just after the thought that begins with the mark `begin`; None where it is not finished."""
    at = begin.end
    while mark := next_mark(text, at, braces=False):
        if mark.kind == "end" and mark.family == begin.family:
            return mark.end
        at = mark.end
    return None


def _meaning(text: str, match: re.Match[str]) -> Mark | None:
    """What a match marks; None for any other tag."""
    name = _named(match[0])
    if name in ("|channel|", "|im_start|"):
        return _headed(text, name, match)
    known = _MEANINGS.get(name)
    return Mark(known[0], known[1], match.start(), match.end(), known[2]) if known else None


@lru_cache(maxsize=256)
def _named(found: str) -> str:
    return found.lower() if found[0] != "<" else _name(found[1:-1].lower())


def _name(inside: str) -> str:
    """The name of a tag, with its slash; empty for one that is closed at once, or goes on in other words."""
    words = inside.replace("/", "/ ", 1).split() if inside.lstrip().startswith("/") else inside.split()
    slash = words[:1] == ["/"]
    name, attributes = "".join(words[slash : slash + 1]), words[slash + 1 :]
    if name.endswith("/") or (attributes and ("=" not in inside or inside.endswith("/"))):
        return ""
    return f"/{name}" if slash else name


def _headed(text: str, name: str, match: re.Match[str]) -> Mark | None:
    """A control token whose meaning is the word behind it: gpt-oss's channels, the two parts of s1's replies."""
    head = _HEAD.match(text, match.end())
    if head is None:
        return None
    word = head[1].lower()
    if name == "|channel|":
        return Mark("end" if word == "final" else "begin", _CHANNEL, match.start(), head.end())
    if word in ("think", "answer"):
        return Mark("begin" if word == "think" else "end", _S1, match.start(), head.end(1))
    return None
