"""One episode as a conversation: as everybody saw it, as one role saw it, what models wrote, what they were shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sotopia_pi.config import Config
from sotopia_pi.episodes.records import ActionType, Episode, Turn
from sotopia_pi.episodes.views import MAX_TURNS, Layout, Rendering, View, messages, terms_told, view
from sotopia_pi.errors import StoreError
from sotopia_pi.models.protocol import Message
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.verifier import VERIFIER
from sotopia_pi.web.filters import Filters
from sotopia_pi.web.listing import PAGE, Listing, listing
from sotopia_pi.web.places import Place
from sotopia_pi.web.rendering import page
from sotopia_pi.web.shown import own_numbers, relationship_words
from sotopia_pi.web.site import missing, place, site
from sotopia_pi.world.records import SocialTask

#: What may be shown besides the conversation.
_EXTRAS = ("raw", "prompts")


@dataclass(frozen=True, slots=True)
class Switches:
    """What the page shows: everything or the view of one role, with raw replies or prompts, the whole prompt of a turn.

    `turn` is from 1, 0 for none.
    """

    role: int | None = None
    extra: str = ""
    turn: int = 0


def episode(request: Request) -> Response:
    """The page of one episode."""
    here, key = place(request), request.path_params["key"]
    try:
        shown = here.store.episode(key)
    except StoreError:
        missing("There is no such episode in this run.")
    task = here.store.task(shown.task_id)
    around = listing(site(request), here.name, request.query_params)
    switches = _switches(request.query_params, task)
    seen = view(task, switches.role, shown.turns) if switches.role is not None else None
    return page(
        request,
        "episode.html.j2",
        place=here,
        tab="episodes",
        episode=shown,
        task=task,
        relationship=relationship_words(task.scenario.relationship),
        switches=switches,
        links=_links(here, shown, around.filters, switches, task),
        steps=_steps(here, shown, around),
        notes=around.notes,
        people=_people(task, shown, seen),
        turns=_turns(task, shown, seen, switches),
        prompts=_prompts(here, task, shown, switches),
        whole=_whole(around.filters, switches),
        ratings=[] if seen else _by_role(here, shown, task),
        others=Filters(task=task.id).link(f"/run/{here.name}/episodes"),
    )


def _switches(query: Mapping[str, str], task: SocialTask) -> Switches:
    """What a URL asks to be shown; what it cannot mean is left out."""
    role, extra, turn = query.get("view", ""), query.get("show", ""), query.get("turn", "")
    known = {str(number): number for number in task.roles}
    number = int(turn) if turn.isascii() and turn.isdigit() and len(turn) < 4 else 0
    return Switches(known.get(role), extra if extra in _EXTRAS else "", number)


def _links(
    here: Place, shown: Episode, filters: Filters, switches: Switches, task: SocialTask
) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Two groups of switches: (label, address, whether it is on)."""

    def link(role: int | None, extra: str) -> str:
        given = {**({} if role is None else {"view": role}), **({"show": extra} if extra else {})}
        base = filters.link(f"/run/{here.name}/episodes/{shown.key}", page=1)
        return base + (("&" if "?" in base else "?") + urlencode(given) if given else "")

    views = [("everything", link(None, switches.extra), switches.role is None)]
    views += [
        (f"what {task.characters[role].name} sees", link(role, switches.extra), switches.role == role)
        for role in task.roles
    ]
    words = {"": "actions", "raw": "raw replies", "prompts": "exact prompts"}
    extras = [(text, link(switches.role, extra), switches.extra == extra) for extra, text in words.items()]
    return [("View", views), ("Show", extras)]


def _steps(here: Place, shown: Episode, around: Listing) -> dict[str, Any]:
    """Links to the episodes before and after in the list that was followed here, and to the list."""
    path, filters, at = f"/run/{here.name}/episodes", around.filters, around.place(shown.key)
    found: dict[str, Any] = {
        "at": at,
        "total": len(around.order),
        "before": "",
        "after": "",
        "list": filters.link(path),
    }
    if at is not None:
        before, after = around.key(at - 1), around.key(at + 1)
        found["before"] = filters.link(f"{path}/{before}", page=1) if before else ""
        found["after"] = filters.link(f"{path}/{after}", page=1) if after else ""
        found["list"] = filters.link(path, page=at // PAGE + 1)
    return found


def _people(task: SocialTask, shown: Episode, seen: View | None) -> list[dict[str, Any]]:
    """Each role's card: all of it for the omniscient view, what a role sees for its own."""
    cards = []
    for role, character in enumerate(task.characters):
        own = seen is None or seen.role == role
        card: dict[str, Any] = {"role": role, "own": own, "player": shown.players[role] if seen is None else ""}
        if own:
            fields = character.model_dump(mode="json", exclude={"secret", "name"})
            card |= {"name": character.name, "goal": task.scenario.goals[role], "secret": character.secret}
            card |= {"side": own_numbers(view(task, role, ())), "profile": fields}
        else:
            assert seen is not None
            partner = next(other for other in seen.partners if other.role == role)
            fields = {name: value for name, value in asdict(partner).items() if value is not None}
            card |= {"name": fields.pop("name", None) or "The other person", "goal": None, "secret": None, "side": None}
            card["profile"] = {name: value for name, value in fields.items() if name != "role"}
        cards.append(card)
    return cards


def _turns(task: SocialTask, shown: Episode, seen: View | None, switches: Switches) -> list[dict[str, Any]]:
    names = [character.name for character in task.characters]
    if seen is not None:
        known = {partner.role: partner.name or "The other person" for partner in seen.partners}
        names = [known.get(role, name) for role, name in enumerate(names)]
    return [
        {
            "number": number,
            "name": names[turn.role],
            "role": turn.role,
            "type": turn.action.type.value,
            "text": turn.action.argument or _without_words(turn),
            "spoken": turn.action.type is ActionType.SPEAK,
            "valid": turn.valid,
            "reasked": turn.reasked,
            "terms": terms_told(seen, seen.history[number - 1]) if seen else turn.action.terms,
            "own": seen is None or seen.role == turn.role,
            "raw": turn.raw if switches.extra == "raw" and (seen is None or seen.role == turn.role) else None,
            "usage": turn.usage,
        }
        for number, turn in enumerate(shown.turns, 1)
    ]


def _without_words(turn: Turn) -> str:
    return "left" if turn.action.type is ActionType.LEAVE else "did nothing"


def _prompts(here: Place, task: SocialTask, shown: Episode, switches: Switches) -> dict[str, Any] | None:
    """What each turn's player was shown: the messages that are new, or all of them for the turn that is asked for."""
    if switches.extra != "prompts":
        return None
    layout, most = _layout(here.config, shown.stage), here.config.max_turns if here.config else MAX_TURNS
    renderings = {role: Rendering(layout, here.prompts) for role in task.roles}
    before: dict[int, int] = defaultdict(int)
    found: dict[int, tuple[int, list[Message]]] = {}
    for number, turn in enumerate(shown.turns, 1):
        if switches.role not in (None, turn.role):
            continue
        seen = view(task, turn.role, shown.turns[: number - 1], most)
        if number == switches.turn:
            found[number] = 0, messages(seen, layout, here.prompts)
            renderings[turn.role].messages(seen)
        else:
            told = renderings[turn.role].messages(seen)
            held = before[turn.role] if layout == "chat" else 0
            found[number] = held, told[held:]
        before[turn.role] = len(renderings[turn.role].messages(seen))
    written = here.store.meta("prompts")
    return {
        "layout": layout,
        "turns": found,
        "changed": written is not None and written != here.prompts.version,
        "known": here.config is not None,
    }


def _whole(filters: Filters, switches: Switches) -> str:
    """The query of this page up to the turn whose whole prompt is asked for."""
    given = {"show": "prompts"} | ({} if switches.role is None else {"view": str(switches.role)})
    return "&".join(part for part in (filters.query(page=1), urlencode(given), "") if part) + "&"


def _layout(config: Config | None, stage: str) -> Layout:
    """The layout in which the models of a stage were asked."""
    if config is None:
        return "chat"
    verb, _, name = stage.partition("/")
    made = next((item for item in config.rounds if verb == "collect" and item.name == name), None)
    return config.sampling_of(made).layout if made else config.evaluation_sampling().layout


def _by_role(here: Place, shown: Episode, task: SocialTask) -> list[dict[str, Any]]:
    """Per role the ratings side by side: raters as columns, dimensions as rows."""
    held: dict[int, list[Rating]] = defaultdict(list)
    for rating in here.store.ratings(episode=shown.key):
        held[rating.role].append(rating)
    made = []
    for role in task.roles:
        own = sorted(held[role], key=lambda rating: (rating.rater != VERIFIER, rating.rater, rating.sample))
        names = dict.fromkeys(name for rating in own for name in (*rating.scores, *rating.reasons))
        several = {rating.rater for rating in own if rating.sample}
        made.append(
            {
                "name": task.characters[role].name,
                "role": role,
                "player": shown.players[role],
                "columns": [
                    {
                        "rater": f"{r.rater} (sample {r.sample + 1})" if r.rater in several else r.rater,
                        "rating": r,
                    }
                    for r in own
                ],
                "dimensions": sorted(names, key=lambda name: name != "goal"),
            }
        )
    return made


ROUTES = [Route("/run/{place}/episodes/{key}", episode)]
