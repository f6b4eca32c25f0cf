"""What every stored record has in common: immutable, strict about its fields, identified by its content."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

#: NUL and halves of surrogate pairs, which JSON can write but tokenizers or databases cannot take.
NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


def _text(value: str) -> str:
    if NOT_TEXT.search(value):
        raise ValueError("the text holds NUL or half of a surrogate pair, which is no character")
    return value


def _name(value: str) -> str:
    if not value.strip() or value.splitlines() != [value]:
        raise ValueError("a name is one line and not empty")
    return value


#: A text that prompts, databases and files can hold as it is.
Text = Annotated[str, AfterValidator(_text)]
#: What somebody is called in every prompt.
Name = Annotated[Text, AfterValidator(_name)]


def content_hash(value: Any) -> str:
    """16 hex digits of the SHA-256 of a JSON-able value; equal content gives an equal hash on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def derive_seed(*parts: object) -> int:
    """A 63-bit seed that depends on nothing but `parts`, so that order and concurrency cannot change it."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Record(BaseModel):
    """A frozen record; unknown fields are refused, numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Identified(Record):
    """A record whose `id` is the hash of its content."""

    @cached_property
    def id(self) -> str:
        """Content hash: the same record has the same id in every run and on every machine."""
        return content_hash(self.model_dump(mode="json"))
