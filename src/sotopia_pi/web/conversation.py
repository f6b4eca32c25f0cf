"""A conversation that a person is in: what has been said, the form to act, and the end, within the page it stands on.

It shows the view of the person's role and nothing else of the task. To guests, who were invited, it shows nothing of
who the other is either, nor how anybody was rated: not the opponent's name, not the cause of a failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sotopia_pi.episodes.briefing import briefing, called, told
from sotopia_pi.episodes.people import STOPPED, offered
from sotopia_pi.episodes.records import ActionError, ActionType, Episode
from sotopia_pi.episodes.views import terms_told
from sotopia_pi.ratings.verifier import VERIFIER
from sotopia_pi.web.playroom import Table
from sotopia_pi.web.rendering import page
from sotopia_pi.web.site import form
from sotopia_pi.web.termsform import acted, controls

#: What a person can do, as the form names it.
KINDS = {
    ActionType.SPEAK: "say it",
    ActionType.NON_VERBAL: "show it without words",
    ActionType.ACT: "do it",
    ActionType.NONE: "do nothing this turn",
    ActionType.LEAVE: "leave, which ends the conversation",
}
ENDS = {
    "agreed": "You agreed.",
    "left": "Somebody left.",
    "stale": "Nobody did anything for three turns.",
    "limit": "There are no more turns.",
}
#: Seconds that an answer to a form waits for the model, so that quick models need no second page.
PATIENCE = 1.0
_LOOK = 0.05
_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Frame:
    """The page around a conversation: its path, the template it extends with the values that needs, and where to go on.

    `guest`: it is shown to somebody who was invited.
    """

    path: str
    layout: str
    onward: str
    guest: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)


def act(request: Request, table: Table, frame: Frame) -> Response:
    """What the person does on a turn."""
    given, seen, there = form(request), table.view, table.sitting
    late = "This was not sent: it is not your turn, or the turn was answered already."
    if there is None or not table.asked or given.get("turn") != str(seen.turn_number):
        return show(request, table, frame, late, given)
    kind = next((kind for kind in KINDS if kind.value == given.get("kind")), None)
    try:
        if kind is None:
            raise ActionError("Choose what you do with the words.")
        action = acted(seen, kind, given)
    except ActionError as error:
        return show(request, table, frame, str(error), given)
    if not there.act(action, seen.turn_number):
        return show(request, table, frame, late, given)
    return _answer(request, table, frame)


def stop(request: Request, table: Table, frame: Frame) -> Response:
    """The person gives up."""
    table.stop(STOPPED)
    return _answer(request, table, frame)


def _answer(request: Request, table: Table, frame: Frame) -> Response:
    """After a form: the conversation itself to htmx, to other browsers a page that may be reloaded."""
    until = monotonic() + PATIENCE
    while table.running and (seen := table.sight) and not table.asked and (left := until - monotonic()) > 0:
        table.wait(seen, min(left, _LOOK))
    if "hx-request" in request.headers:
        return show(request, table, frame)
    return RedirectResponse(frame.path, status_code=303)


def show(
    request: Request, table: Table, frame: Frame, fault: str | None = None, given: Mapping[str, str] = _NOTHING
) -> Response:
    """The conversation as it is now; to htmx only the part that changes. A form at fault keeps what was `given`."""
    seen = table.view
    partial = "hx-request" in request.headers
    episode = table.episode
    answer = page(
        request,
        "play_now.html.j2" if partial else "play.html.j2",
        frame=frame,
        **frame.values,
        view=seen,
        parts=briefing(seen),
        said=[
            (event.role == seen.role, called(seen, event.role), *told(event), terms_told(seen, event))
            for event in seen.history
        ],
        asked=table.asked,
        loading=None if table.sight else table.opponent.name,
        waiting=table.running and not table.asked,
        judging=table.judging and not frame.guest,
        broken=_broken(table, frame.guest),
        kinds=[(kind.value, label) for kind, label in KINDS.items()],
        controls=controls(seen, given),
        offer=offered(seen),
        fault=fault,
        kind=given.get("kind", ActionType.SPEAK.value),
        words=given.get("words", ""),
        partial=partial,
        end=None if episode is None else _end(table, episode, frame.guest),
    )
    answer.status_code = 400 if fault and not partial else 200  # htmx shows only what succeeded
    return answer


def _broken(table: Table, guest: bool) -> str | None:
    """Why there is no episode, or no rating."""
    if guest and table.fault:
        return None if table.episode else "The other could not come. This is not your fault."
    return table.fault


def _end(table: Table, episode: Episode, guest: bool) -> dict[str, Any]:
    """How it ended, and the scores; what a rater says of the other role is left to the episode's own page."""
    if episode.stop_reason:
        why = ENDS[episode.stop_reason]
    elif guest:
        why = "You stopped." if episode.failure == STOPPED else "It broke off, and that may not be your fault."
    else:
        why = "You stopped." if episode.failure == STOPPED else f"It failed: {(episode.failure or '').rstrip('.')}."
    rows = []
    for rating in () if guest else table.ratings:
        own = rating.role == table.role
        scores = ", ".join(f"{name.replace('_', ' ')} {score:.3g}" for name, score in rating.scores.items())
        reason = rating.reasons.get("goal", "") if own and rating.rater == VERIFIER else ""
        rows.append(("You" if own else "The other", rating.rater, scores or f"not rated, {rating.failure}", reason))
    return {"why": why, "rows": rows, "key": episode.key, "completed": episode.completed}
