"""The pages of a person who rates: welcome and instructions, the qualification, one episode after another, the end.

They live under /rate/ and the study's unguessable link, know their visitor by a session cookie of that path, and name
neither policies nor stages nor episodes: an episode is in somebody's hands under a random id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sotopia_pi.episodes.records import ActionType, Episode
from sotopia_pi.ratings.casefile import TIES
from sotopia_pi.ratings.dimensions import Dimension
from sotopia_pi.studies.answers import fields_of, reason_field, score_field
from sotopia_pi.studies.desk import Desk, Step
from sotopia_pi.studies.records import LONGEST_REASON, Annotator, Assignment
from sotopia_pi.web import participants
from sotopia_pi.web.rendering import page
from sotopia_pi.web.site import form, missing, refused, see
from sotopia_pi.world.records import SocialTask

SESSION = "sotopia_pi_rater"
#: A range with more scores than this is a number to type, not a row of buttons.
_MOST_BUTTONS = 21


def _desk(request: Request) -> Desk:
    return participants.linked(request, Desk.of_link, "study")[1]


def _visitor(request: Request, desk: Desk) -> Annotator | None:
    return desk.annotator(request.state.cookies.get(SESSION, ""))


def _known(request: Request, desk: Desk) -> Annotator:
    """The annotator who sent a form; a page that says what to do for everybody else."""
    found = _visitor(request, desk)
    if found is None:
        refused("Your place in this study is not known to this browser; open the study's link again.", 403)
    return found


def _own(desk: Desk, annotator: Annotator, request: Request) -> Assignment:
    found = desk.store.assignments.get(annotator, request.path_params["assignment"])
    if found is None:
        missing("There is no such page for you in this study.")
    return found


def welcome(request: Request) -> Response:
    """What the study is about, the dimensions, and the button to begin."""
    desk = _desk(request)
    participant, fault = participants.arrived(request, desk.participant)
    annotator = _visitor(request, desk)
    if annotator is not None and not (participant or fault) and "again" not in request.query_params:
        return see(request, "rate_work", link=desk.study.link)
    settings = desk.study.settings
    return page(
        request,
        "rate_welcome.html.j2",
        study=desk.study,
        participant=participant,
        unknown=settings.participant_required and not participant and annotator is None,
        fault=fault,
        begun=annotator is not None and not (participant or fault),
        tests=desk.has_tests(),
    )


def begin(request: Request) -> Response:
    """Begins, or finds the participant's place again."""
    desk = _desk(request)
    named = participants.participant(request, desk.study.settings.participant_parameters)
    found = desk.begin(named, participants.browser(request))
    if found is None:
        refused(
            "This study takes no new participants now."
            if not desk.study.open
            else "Open the study from the platform that invited you: this address lacks your participant id.",
            403,
        )
    _, token = found
    answer = see(request, "rate_work", link=desk.study.link)
    return participants.keep_place(request, answer, SESSION, token, f"/rate/{desk.study.link}")


def work(request: Request) -> Response:
    """The episode that the annotator rates now, or the end."""
    desk = _desk(request)
    annotator = _visitor(request, desk)
    if annotator is None:
        return see(request, "rate_welcome", link=desk.study.link)
    step = desk.step(annotator)
    if step.assignment is None:
        assert step.stop is not None
        end = desk.end(step.stop, annotator)
        return page(request, "rate_end.html.j2", study=desk.study, step=step, end=end, annotator=annotator)
    return _rating(request, desk, annotator, step, step.assignment, step.assignment.draft, {})


def submit(request: Request) -> Response:
    """Takes a rating, or shows it again with what is not right yet."""
    desk = _desk(request)
    annotator = _known(request, desk)
    assignment = _own(desk, annotator, request)
    given = form(request)
    handed = desk.submit(annotator, assignment, given)
    if handed.read.errors and not handed.again:
        rated, total = desk.count(annotator)
        step = Step(assignment, rated=rated, total=total)
        return _rating(request, desk, annotator, step, assignment, given, handed.read.errors)
    if handed.again and _own(desk, annotator, request).answer != handed.read.answer:
        refused("You submitted this conversation before; it stays as it was, and what you changed is not stored.", 409)
    if assignment.attempt:
        return see(request, "rate_result", link=desk.study.link, assignment=assignment.id)
    return see(request, "rate_work", link=desk.study.link)


def draft(request: Request) -> Response:
    """Keeps what has been filled in: for htmx one line that says so, else the page again."""
    desk = _desk(request)
    annotator = _known(request, desk)
    assignment = _own(desk, annotator, request)
    given = form(request)
    kept = desk.save(annotator, assignment, given)
    if "hx-request" not in request.headers:
        return see(request, "rate_work", link=desk.study.link)
    names = fields_of(assignment.roles, desk.study.settings)
    filled = sum(bool(given.get(name, "").strip()) for name in names)
    said = f"Saved: {filled} of {len(names)} fields filled in." if kept else "This was submitted before."
    return HTMLResponse(said)


def result(request: Request) -> Response:
    """How an attempt of the qualification went."""
    desk = _desk(request)
    annotator = _visitor(request, desk)
    if annotator is None:
        return see(request, "rate_welcome", link=desk.study.link)
    assignment = _own(desk, annotator, request)
    feedback = desk.feedback(assignment)
    if feedback is None:
        return see(request, "rate_work", link=desk.study.link)
    task = desk.store.task(desk.store.episode(assignment.episode).task_id)
    names = {role: task.characters[role].name for role in task.roles}
    return page(request, "rate_result.html.j2", study=desk.study, feedback=feedback, names=names)


def _rating(
    request: Request,
    desk: Desk,
    annotator: Annotator,
    step: Step,
    assignment: Assignment,
    values: Mapping[str, str],
    errors: Mapping[str, str],
) -> Response:
    episode = desk.store.episode(assignment.episode)
    task = desk.store.task(episode.task_id)
    people = [_person(desk, task, place, role, values, errors) for place, role in enumerate(assignment.roles, 1)]
    answer = page(
        request,
        "rate_episode.html.j2",
        study=desk.study,
        step=step,
        assignment=assignment,
        annotator=annotator,
        task=task,
        tie=TIES[task.scenario.relationship.value],
        turns=_turns(task, episode),
        people=people,
        errors=errors,
        wrong=_wrong(people),
        longest=LONGEST_REASON,
    )
    answer.status_code = 422 if errors else 200
    return answer


def _wrong(people: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The fields that are not right yet, in order: where each is and what is wrong."""
    found = []
    for person in people:
        for one in person["fields"]:
            where = f"{person['character'].name}, {one['title']}"
            if one["score_error"]:
                found.append({"field": one["score"], "where": where, "said": one["score_error"]})
            if one["reason_error"]:
                found.append({"field": one["reason"], "where": f"{where}, reason", "said": one["reason_error"]})
    return found


def _turns(task: SocialTask, episode: Episode) -> list[dict[str, Any]]:
    """What was said and done, in order; nothing of who or what decided it."""
    shown = []
    for number, turn in enumerate(episode.turns, 1):
        kind, words = turn.action.type, turn.action.argument
        if kind is ActionType.NONE:
            words = "(does nothing)"
        elif kind is ActionType.LEAVE:
            words = f"(leaves) {words}".strip()
        name = task.characters[turn.role].name
        spoken, terms = kind is ActionType.SPEAK, turn.action.terms
        shown.append({"number": number, "who": name, "words": words, "terms": terms, "deed": not spoken})
    return shown


def _person(
    desk: Desk, task: SocialTask, place: int, role: int, values: Mapping[str, str], errors: Mapping[str, str]
) -> dict[str, Any]:
    """One of the people in an episode: profile, goal, and the fields that rate them."""
    return {
        "place": place,
        "character": task.characters[role],
        "goal": task.scenario.goals[role],
        "fields": [_field(place, one, values, errors) for one in desk.study.settings.dimensions],
    }


def _field(place: int, one: Dimension, values: Mapping[str, str], errors: Mapping[str, str]) -> dict[str, Any]:
    score, reason = score_field(place, one.name), reason_field(place, one.name)
    few = one.high - one.low < _MOST_BUTTONS
    return {
        "dimension": one,
        "title": one.name.replace("_", " ").capitalize(),
        "score": score,
        "reason": reason,
        "options": list(range(one.low, one.high + 1)) if few else [],
        "value": values.get(score, ""),
        "words": values.get(reason, ""),
        "score_error": errors.get(score),
        "reason_error": errors.get(reason),
        "first_error": next(iter(errors), None),
    }


def _moved(request: Request) -> Response:
    """A form's address, opened as a page."""
    return see(request, "rate_work", link=_desk(request).study.link)


ROUTES = [
    Route("/rate/{link}", welcome, name="rate_welcome"),
    Route("/rate/{link}/begin", begin, methods=["POST"], name="rate_begin"),
    Route("/rate/{link}/now", work, name="rate_work"),
    Route("/rate/{link}/now/{assignment}", submit, methods=["POST"], name="rate_submit"),
    Route("/rate/{link}/now/{assignment}", _moved),
    Route("/rate/{link}/now/{assignment}/draft", draft, methods=["POST"], name="rate_draft"),
    Route("/rate/{link}/now/{assignment}/draft", _moved),
    Route("/rate/{link}/result/{assignment}", result, name="rate_result"),
]
