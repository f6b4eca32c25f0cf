"""Guessing the next tokens of a reply from replies already written, so that one step can check several.

Most of what a policy says it has said before: the JSON around its words, and its favourite phrases. A drafted token is
kept only where the model itself draws that very token, so drafts decide how fast a reply is written and never what it
says (prompt-lookup or n-gram speculation; here the table grows with everything the model writes).
"""

from __future__ import annotations

from collections.abc import Sequence

#: Context lengths that are looked up, longest first.
_ORDERS = (8, 4, 2)
#: A draft ends where the chance that all of it is right falls below this.
_CONFIDENCE = 0.5
#: Contexts remembered at most; beyond it the table starts afresh, so that memory stays flat in a long run.
_CONTEXTS = 400_000


class Drafter:
    """Counts which token followed which context in a model's replies, and continues replies accordingly."""

    def __init__(self) -> None:
        self._followers: dict[tuple[int, ...], dict[int, int]] = {}

    def learn(self, reply: Sequence[int]) -> None:
        """Remembers a finished reply, given with the token or two of the prompt before it."""
        if len(self._followers) > _CONTEXTS:
            self._followers.clear()
        for end in range(_ORDERS[-1], len(reply)):
            for order in _ORDERS:
                if order <= end:
                    followers = self._followers.setdefault(tuple(reply[end - order : end]), {})
                    followers[reply[end]] = followers.get(reply[end], 0) + 1

    def draft(self, context: Sequence[int], limit: int) -> list[int]:
        """Up to `limit` likely next tokens of a reply that so far, with the end of its prompt, is `context`."""
        written = list(context[-_ORDERS[0] :])
        begun, chance = len(written), 1.0
        while len(written) - begun < limit:
            followers = self._longest_known(written)
            if followers is None:
                break
            token = max(followers, key=followers.__getitem__)
            chance *= followers[token] / (sum(followers.values()) + 0.5)
            if chance < _CONFIDENCE:
                break
            written.append(token)
        return written[begun:]

    def _longest_known(self, written: list[int]) -> dict[int, int] | None:
        for order in _ORDERS:
            if order <= len(written) and (found := self._followers.get(tuple(written[-order:]))):
                return found
        return None
