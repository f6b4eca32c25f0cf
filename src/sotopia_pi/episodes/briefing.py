"""What a person who plays a role is told: a role's view in headings and lines, for a terminal and for a page.

A pure function of the view, as the rendering for models is; a partner's goal and secret are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sotopia_pi.episodes.records import ActionType
from sotopia_pi.episodes.views import Seen, View, Visible, visible
from sotopia_pi.world.records import Relationship

_TIES = {
    Relationship.STRANGER: "You have never met.",
    Relationship.KNOWS_NAME: "You know each other's name and nothing else.",
    Relationship.ACQUAINTANCE: "You are acquainted.",
    Relationship.FRIEND: "You are friends.",
    Relationship.ROMANTIC: "You are a couple.",
    Relationship.FAMILY: "You are family.",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A heading and what stands below it."""

    title: str
    lines: tuple[str, ...]


def briefing(seen: View) -> tuple[Part, ...]:
    """Situation, character, secret, goal, how a deal is made, and what may be known of the others."""
    own = visible(seen.own, seen.role, Relationship.FAMILY)
    others = tuple(
        Part(
            f"The other person: {partner.name}" if partner.name else called(seen, partner.role).capitalize(),
            (_TIES[seen.relationship], *_profile(partner)),
        )
        for partner in seen.partners
    )
    return (
        Part("Situation", (seen.situation,)),
        Part(f"You are {seen.own.name}", _profile(own)),
        Part("Your secret", (seen.own.secret,)),
        Part("Your goal", (seen.goal,)),
        *_deals(seen),
        *others,
    )


def _deals(seen: View) -> tuple[Part, ...]:
    env = seen.environment
    if env is None:
        return ()
    rule = (
        "What counts is the terms that the two of you declare, not the words. When one of you declares terms equal to "
        "those that the other has just declared, that is the deal, and the conversation ends."
    )
    return (Part("How a deal is made", (rule, f"Terms are {env.notation(seen.side)}.")),)


def called(seen: View, role: int) -> str:
    """How somebody is called: "you", a name where it is known, else "the other person"."""
    if role == seen.role:
        return "you"
    partner = next(partner for partner in seen.partners if partner.role == role)
    return partner.name or ("the other person" if len(seen.partners) == 1 else f"person {role + 1}")


def told(event: Seen) -> tuple[str, str]:
    """What somebody did, as a note for a reader ("" for speech) and the words."""
    words = event.action.argument
    match event.action.type:
        case ActionType.SPEAK:
            return "", words
        case ActionType.NONE:
            return "nothing said or done", ""
        case ActionType.LEAVE:
            return "left", words
        case ActionType.NON_VERBAL:
            return "without words", words
        case ActionType.ACT:
            return "does", words


def _profile(who: Visible) -> tuple[str, ...]:
    first = ", ".join(str(value) for value in (who.age, who.gender, who.pronouns, who.occupation) if value is not None)
    labelled = {
        "Personality": who.personality,
        "Big Five": who.big_five,
        "Morals": ", ".join(who.moral_values or ()),
        "Values": ", ".join(who.schwartz_values or ()),
        "Decides": who.decision_style,
    }
    lines = (first, who.public_info or "", *(f"{label}: {value}" for label, value in labelled.items() if value))
    return tuple(line for line in lines if line)
