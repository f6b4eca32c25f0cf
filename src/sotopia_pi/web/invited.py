"""The pages of somebody who was invited to play: welcome, one conversation after another, and the end with a code.

They live under /sit/ and the invitation's unguessable link, know their visitor by a sealed cookie of that path, and
name neither opponents nor policies, stages, runs or tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sotopia_pi import playing
from sotopia_pi.errors import SotopiaError, StoreError
from sotopia_pi.studies.invitations import (
    Game,
    Invitation,
    Played,
    by_link,
    completed,
    known_as,
    next_game,
    played_games,
)
from sotopia_pi.web import conversation, participants
from sotopia_pi.web.conversation import Frame
from sotopia_pi.web.places import Place
from sotopia_pi.web.playroom import Table, playroom
from sotopia_pi.web.rendering import page
from sotopia_pi.web.site import missing, path_of, refused, see, site
from sotopia_pi.web.tally import Tally, client

SESSION = "sotopia_pi_guest"
_HOUR = 3_600.0
_LOG = logging.getLogger(__name__)


def _invited(request: Request) -> tuple[Place, Invitation]:
    """The invitation of the path and the run that it is to; 404 when there is none."""
    return participants.linked(request, by_link, "invitation")


def _guest(request: Request, invitation: Invitation) -> str | None:
    """The pseudonym of the visitor; None for one who has not begun."""
    return invitation.known(request.state.cookies.get(SESSION, ""))


def _known(request: Request, invitation: Invitation) -> str:
    found = _guest(request, invitation)
    if found is None:
        refused("Your place is not known to this browser; open the link of your invitation again.", 403)
    return found


def welcome(request: Request) -> Response:
    """What it is about, and the button to begin."""
    _, invitation = _invited(request)
    participant, fault = participants.arrived(request, invitation.participant)
    if _guest(request, invitation) is not None and not (participant or fault):
        return see(request, "sit_now", link=invitation.link)
    unknown = invitation.participant_required and not participant
    values = {"participant": participant, "unknown": unknown, "fault": fault}
    return page(request, "sit_welcome.html.j2", invitation=invitation, **values)


def begin(request: Request) -> Response:
    """Begins, or finds the participant's place again."""
    place, invitation = _invited(request)
    participant = participants.participant(request, invitation.participant_parameters)
    if invitation.participant_required and not participant:
        refused("Open the invitation from the platform that sent it: this address lacks your participant id.", 403)
    sealed = invitation.sealed(known_as(place.store, invitation, participant, participants.browser(request)))
    answer = see(request, "sit_now", link=invitation.link)
    return participants.keep_place(request, answer, SESSION, sealed, f"/sit/{invitation.link}")


def now(request: Request) -> Response:
    """Where the guest is: in a conversation, between two, or at the end."""
    place, invitation = _invited(request)
    guest = _guest(request, invitation)
    if guest is None:
        return see(request, "sit_welcome", link=invitation.link)
    if table := _running(request, place, invitation, guest):
        return see(request, "sit_game", link=invitation.link, session=table.id)
    return _between(request, place, invitation, guest)


def _between(request: Request, place: Place, invitation: Invitation, guest: str, fault: str | None = None) -> Response:
    played = played_games(place.store, invitation)
    through = completed(played, guest)
    finished = through >= invitation.games
    answer = page(
        request,
        "sit_now.html.j2",
        invitation=invitation,
        guest=guest,
        through=through,
        again=not finished and next_game(invitation, played, guest) is not None,
        end=invitation.end(guest) if finished else None,
        fault=fault,
    )
    answer.status_code = 503 if fault else 200
    return answer


def _running(request: Request, place: Place, invitation: Invitation, guest: str) -> Table | None:
    """The table at which the guest sits."""
    return next((t for t in _tables(request, place, invitation) if t.name == guest), None)


def _tables(request: Request, place: Place, invitation: Invitation) -> Sequence[Table]:
    """The tables at which people who were invited sit now."""
    return [t for t in playroom(site(request)).tables(place) if t.stage == invitation.stage and t.running]


async def go_on(request: Request) -> Response:
    """Begins the next conversation."""
    place, invitation = await asyncio.to_thread(_invited, request)
    guest, room = _known(request, invitation), playroom(site(request))
    try:
        table = await _seated(request, place, invitation, guest)
    except StoreError:
        raise
    except SotopiaError as error:
        said = str(error) if room.full else "This cannot be played now; tell those who invited you."
        return await asyncio.to_thread(_between, request, place, invitation, guest, said)
    if table is None:
        return see(request, "sit_now", link=invitation.link)
    return see(request, "sit_game", link=invitation.link, session=table.id)


async def _seated(request: Request, place: Place, invitation: Invitation, guest: str) -> Table | None:
    """The table where the guest sits, or now does; None when there is nothing more to play. SotopiaError."""
    room = playroom(site(request))
    async with room.seating:  # a button that is pressed twice is one conversation
        if table := _running(request, place, invitation, guest):
            return table
        played = await asyncio.to_thread(played_games, place.store, invitation)
        played += [
            Played(table.name, Game(table.task.id, table.role, table.opponent.name), completed=False)
            for table in _tables(request, place, invitation)
        ]
        game = next_game(invitation, played, guest)
        if game is None:
            return None
        newcomer = guest not in {one.person for one in played}
        if newcomer:
            _check_address(request, invitation)
        run = await asyncio.to_thread(room.run, place)
        task = await asyncio.to_thread(place.store.task, game.task)
        opponent = await asyncio.to_thread(playing.opponent, run, invitation.opponents[game.opponent])
        table = await room.seat(place, task, game.role, guest, opponent, invitation.stage)
        if newcomer:
            _newcomers(request, invitation).add(client(request.scope))
        return table


def _newcomers(request: Request, invitation: Invitation) -> Tally:
    """How many began lately, by address: nobody shall take all places at once."""
    return site(request).once(f"guests {invitation.link}", lambda: Tally(invitation.newcomers, _HOUR))


def _check_address(request: Request, invitation: Invitation) -> None:
    """A page for somebody who is one too many from an address."""
    address, tally = client(request.scope), _newcomers(request, invitation)
    if tally.full(address):
        said = "More than %d people an hour come to the invitation %s from %s; --per-address lets more of them in."
        _LOG.warning(said, tally.most, invitation.name, address)
        refused("Several people have just begun from where you are; try again in an hour, or tell your host.", 429)


def _own(request: Request) -> tuple[Table, Frame]:
    """The guest's own table of the path, and the page that it stands on."""
    place, invitation = _invited(request)
    guest = _known(request, invitation)
    table = playroom(site(request)).table(place, request.path_params["session"])
    if table is None or table.name != guest or table.stage != invitation.stage:
        missing("There is no such conversation of yours; it may have ended a while ago.")
    path = path_of(request, "sit_game", link=invitation.link, session=table.id)
    onward = path_of(request, "sit_now", link=invitation.link)
    return table, Frame(path, "participant_base.html.j2", onward, guest=True, values={"invitation": invitation})


def game(request: Request) -> Response:
    """A conversation as it is now."""
    return conversation.show(request, *_own(request))


def act(request: Request) -> Response:
    """What the guest does on a turn."""
    return conversation.act(request, *_own(request))


def stop(request: Request) -> Response:
    """The guest gives up."""
    return conversation.stop(request, *_own(request))


ROUTES = [
    Route("/sit/{link}", welcome, name="sit_welcome"),
    Route("/sit/{link}/begin", begin, methods=["POST"], name="sit_begin"),
    Route("/sit/{link}/now", now, name="sit_now"),
    Route("/sit/{link}/next", go_on, methods=["POST"], name="sit_next"),
    Route("/sit/{link}/game/{session}", game, name="sit_game"),
    Route("/sit/{link}/game/{session}/act", act, methods=["POST"]),
    Route("/sit/{link}/game/{session}/stop", stop, methods=["POST"]),
]
