"""Where a negotiation stands: the rules by which offers, acceptance, refusal and withdrawal make an agreement.

The rules are the same for prices, divisions and meetings; only what a turn says is read differently.

- A role's newer offer replaces its older one. An older one can still be accepted by naming it.
- Accepting the other's standing offer agrees; accepting one's own does not. Offering what the other offers agrees.
- Accepting under a condition is an offer of the same terms, which the other must accept.
- After an agreement, other terms, a withdrawal or "no deal" end it; thanks and arrangements do not.
"""

from __future__ import annotations

from sotopia_pi.episodes.reading.terms import Reading, Said, Terms


class Standing:
    """Two roles' offers and agreement while turns are heard in order."""

    def __init__(self, lasting: bool = False) -> None:
        """`lasting` offers can be agreed to by merely proposing the same, even after newer ones (times, places)."""
        self._lasting = lasting
        self._offers: dict[int, tuple[Terms, ...]] = {0: (), 1: ()}
        self._past: dict[int, list[Terms]] = {0: [], 1: []}
        self._vague: dict[int, str | None] = {0: None, 1: None}
        self._conditional: set[int] = set()
        self._fresh: int | None = None
        self._asked_else = False
        self._agreed: Terms | None = None
        self._undecided: str | None = None
        self._rejected = False

    def offers(self, role: int) -> tuple[Terms, ...]:
        """What `role` offers at the moment; several are alternatives."""
        return self._offers[role]

    def silence(self) -> None:
        """Nothing was said or done."""
        self._rejected = False

    def hear(self, role: int, said: Said) -> None:
        """Takes in what `role` says on its turn."""
        other = 1 - role
        self._rejected = False
        if said.withdraws:
            self._withdraw(role, said)
        if said.ends and not said.accepts:
            self._agreed = self._undecided = None
        weak = said.weak and self._fresh == other and self._agreed is None
        settled = (said.accepts or weak) and self._accept(role, said, bare_yes=not said.accepts)
        if not settled:
            if said.offers:
                self._propose(role, said)
            elif said.vague:
                self._propose_vaguely(role, said)
            if said.refuses:
                self._rejected = bool(self._offers[other] or self._vague[other])
                self._undecided = None
        offering = bool(said.offers or said.vague) or (said.asks_assent and bool(self._offers[role]))
        self._fresh = role if offering or role in self._conditional else None
        self._asked_else = said.asks_else

    def reading(self) -> Reading:
        """The state after the turns heard so far."""
        return Reading(
            offers={role: terms[-1] for role, terms in self._offers.items() if terms},
            agreed=self._agreed,
            undecided=self._undecided,
            rejected=self._rejected,
            also={role: terms for role, terms in self._offers.items() if len(terms) > 1},
        )

    def _withdraw(self, role: int, said: Said) -> None:
        gone = said.gone
        if gone and not any(terms in self._past[role] for terms in gone):
            self._rejected = any(terms in self._offers[1 - role] for terms in gone)
            return
        self._offers[role] = tuple(t for t in self._offers[role] if gone and t not in gone)
        self._past[role] = [t for t in self._past[role] if gone and t not in gone]
        self._vague[role] = self._undecided = None
        self._conditional.discard(role)
        if not gone or self._agreed in gone:
            self._agreed = None

    def _accept(self, role: int, said: Said, bare_yes: bool) -> bool:
        """Whether the acceptance settles what the turn means; otherwise its offers count."""
        other = 1 - role
        named = said.offers or said.named
        if said.conditional:
            return self._accept_if(role, said, named)
        if named:
            return self._accept_named(role, said, named)
        if self._agreed is not None and (said.fits is None or said.fits(self._agreed)):
            return True
        standing = [t for t in self._offers[other] if said.fits is None or said.fits(t)]
        if self._vague[other] is not None and not (said.fits and standing):
            self._undecided = f"accepted, but {self._vague[other]}"
            return True
        if self._offers[other] and not standing:
            self._agreed, self._undecided = None, "accepted, but in words that do not match the offer"
        elif bare_yes and self._asked_else:
            self._undecided = "a bare yes may answer another question"
        elif len(standing) > 1:
            self._undecided = "accepted, but more than one offer stands"
        elif standing:
            self._agree(standing[0])
        return bool(self._offers[other])

    def _accept_named(self, role: int, said: Said, named: tuple[Terms, ...]) -> bool:
        other = 1 - role
        if self._agreed is not None and named == (self._agreed,):
            return True
        matching = [t for t in named if t in self._offers[other]]
        matching = matching or [t for t in named if t in self._past[other] and self._still_good(role, t)]
        if len(set(map(str, matching))) > 1:
            self._agreed, self._undecided = None, "accepted, but more than one offer is named"
            return True
        if matching:
            self._agree(matching[0])
            return True
        self._propose(role, Said(offers=said.offers or named[-1:]))
        return True

    def _accept_if(self, role: int, said: Said, named: tuple[Terms, ...]) -> bool:
        terms = named or (self._offers[1 - role] if said.accepts else ())
        if not terms:
            return False
        self._agreed = self._undecided = None
        self._put(role, terms)
        self._conditional.add(role)
        return True

    def _propose(self, role: int, said: Said) -> None:
        other = 1 - role
        if self._agreed is not None and said.offers == (self._agreed,) and not said.conditional:
            return
        if said.echo and any(t in self._offers[other] for t in said.offers):
            return
        self._agreed = self._undecided = None
        self._put(role, said.offers)
        if said.conditional:
            self._conditional.add(role)
        elif other not in self._conditional:
            common = [t for t in said.offers if t in self._offers[other]]
            if not common and (self._lasting or said.settles):
                common = [t for t in said.offers if t in self._past[other]]
            if len(common) == 1:
                self._agree(common[0])
            elif common:
                self._undecided = "both accept more than one option"

    def _propose_vaguely(self, role: int, said: Said) -> None:
        if self._agreed is not None and (said.fits(self._agreed) if said.fits else not said.reopens):
            return
        self._agreed = self._undecided = None
        self._vague[role] = said.vague

    def _put(self, role: int, terms: tuple[Terms, ...]) -> None:
        self._offers[role] = terms
        self._past[role].extend(terms)
        self._vague[role] = None
        self._conditional.discard(role)

    def _agree(self, terms: Terms) -> None:
        for role in (0, 1):
            self._put(role, (terms,))
        self._agreed, self._undecided = terms, None

    def _still_good(self, role: int, terms: Terms) -> bool:
        """Whether an older offer was not replaced by one that asks more of `role`: a raised price is a withdrawal."""
        theirs, own = self._offers[1 - role], self._offers[role]
        if not isinstance(terms, float) or not theirs or not own:
            return True
        now, bid = theirs[-1], own[-1]
        if not isinstance(now, float) or not isinstance(bid, float):
            return True
        return terms >= now if now > bid else terms <= now
