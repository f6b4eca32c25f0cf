"""The owner's pages of human evaluations: the studies of a run, a form to begin one, how far each is, its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sotopia_pi.errors import ConfigError, SotopiaError
from sotopia_pi.evaluation.agreement import BINNINGS
from sotopia_pi.ratings.dimensions import SEVEN, dimensions
from sotopia_pi.studies import choosing
from sotopia_pi.studies.export import export_csv, export_jsonl
from sotopia_pi.studies.records import Reference, Study, StudySettings
from sotopia_pi.studies.status import status
from sotopia_pi.web.places import Place
from sotopia_pi.web.rendering import page
from sotopia_pi.web.site import form, missing, origin, place, see

#: Rows of a table on the page of a study; the export has all.
_ROWS = 500
_STAGE = "stage:"
_WHOLE = ("n", "annotators", "per_annotator", "reason_characters", "attempts", "maximum", "seed", "reference_n")
_DECIMAL = ("lease_minutes", "tolerance", "threshold", "share")


def _study(request: Request, here: Place) -> Study:
    found = here.store.studies.find(request.path_params["study"])
    if found is None:
        missing("This run has no study of this name.")
    return found


def studies(request: Request) -> Response:
    """The studies of a run, and the form that begins one."""
    return _listing(request, place(request), _defaults(), None)


def _listing(request: Request, here: Place, values: Mapping[str, str], error: str | None) -> Response:
    store = here.store
    sizes = store.studies.sizes()
    answer = page(
        request,
        "studies.html.j2",
        place=here,
        tab="studies",
        studies=[(study, sizes.get(study.name, 0)) for study in store.studies.all()],
        stages=store.studies.stages(),
        values=values,
        error=error,
        own=here.config.judge.dimensions if here.config and here.config.judge else (),
    )
    answer.status_code = 422 if error else 200
    return answer


def create(request: Request) -> Response:
    """Begins a study, or shows the form again with the sentence that says what is wrong with it."""
    here, given = place(request), form(request)
    try:
        study = _created(here, given)
    except SotopiaError as error:
        return _listing(request, here, {**dict.fromkeys(_defaults(), ""), **given}, str(error))
    return see(request, "study", place=here.name, study=study.name)


def _created(here: Place, given: Mapping[str, str]) -> Study:
    numbers = _numbers(given)
    settings = choosing.settings_from(_settings(here, given, numbers), "the form")
    references: dict[str, Reference] = {}
    if rater := given.get("reference_rater", "").strip():
        keys = given.get("reference_episodes", "").split()
        references = choosing.references_of(here.store, rater, keys, int(numbers.get("reference_n", 1)))
    if wanted := given.get("keys", "").split():
        keys = choosing.check_keys(here.store, wanted)
    else:
        stages = [name.removeprefix(_STAGE) for name in given if name.startswith(_STAGE)]
        policies = [name.strip() for name in given.get("policies", "").split(",") if name.strip()]
        n = int(numbers["n"]) if "n" in numbers else None
        keys = choosing.choose(here.store, stages, policies, n, int(numbers.get("seed", 1)), references)
    return choosing.create(here.store, given.get("name", "").strip(), settings, keys, references)


def _numbers(given: Mapping[str, str]) -> dict[str, float]:
    """The numbers of the form that are filled in. ConfigError."""
    found: dict[str, float] = {}
    for name in (*_WHOLE, *_DECIMAL):
        if text := given.get(name, "").strip():
            try:
                found[name] = int(text) if name in _WHOLE else float(text)
            except ValueError:
                raise ConfigError(f"{name} is {text[:40]!r}; give a number.") from None
    if found.get("n", 1) < 1 or found.get("reference_n", 1) < 1:
        raise ConfigError("The number of episodes must be 1 or more, or empty for all.")
    return found


def _settings(here: Place, given: Mapping[str, str], numbers: Mapping[str, float]) -> dict[str, Any]:
    """The values of the form in the shape of `StudySettings`; what is left empty keeps its default."""
    plain = ("annotators", "per_annotator", "reason_characters", "lease_minutes", "seed")
    values: dict[str, Any] = {name: numbers[name] for name in plain if name in numbers}
    for name in ("title", "instructions"):
        if text := given.get(name, "").strip():
            values[name] = text
    values["qualification"] = {name: numbers[name] for name in ("tolerance", "share", "attempts") if name in numbers}
    values["reannotation"] = (
        {name: numbers[name] for name in ("threshold", "maximum") if name in numbers} if given.get("again") else None
    )
    for end in ("done", "screened_out", "nothing_left"):
        values[end] = {part: text for part in ("code", "url") if (text := given.get(f"{end}_{part}", "").strip())}
    values["participant_required"] = bool(given.get("participant_required"))
    if given.get("own_dimensions") and here.config and here.config.judge:
        values["dimensions"] = [one.model_dump() for one in dimensions(here.config.judge.dimensions)]
    return values


def _defaults() -> dict[str, str]:
    """What the form shows before anybody filled it in."""
    usual = StudySettings()
    again = usual.reannotation
    return {
        **dict.fromkeys(("name", "instructions", "policies", "n", "keys", "per_annotator", "participant_required"), ""),
        **dict.fromkeys(("reference_rater", "reference_episodes", "own_dimensions"), ""),
        **{f"{end}_{part}": "" for end in ("done", "screened_out", "nothing_left") for part in ("code", "url")},
        "title": usual.title,
        "annotators": str(usual.annotators),
        "lease_minutes": f"{usual.lease_minutes:g}",
        "reason_characters": str(usual.reason_characters),
        "again": "on",
        "threshold": f"{again.threshold:g}" if again else "",
        "maximum": str(again.maximum) if again else "",
        "tolerance": f"{usual.qualification.tolerance:g}",
        "share": f"{usual.qualification.share:g}",
        "attempts": str(usual.qualification.attempts),
        "reference_n": "1",
        "seed": "1",
    }


def study(request: Request) -> Response:
    """How far a study is."""
    here = place(request)
    found = _study(request, here)
    now = status(here.store, found, rows=_ROWS)
    return page(
        request,
        "study.html.j2",
        place=here,
        tab="studies",
        study=found,
        now=now,
        link=f"{origin(request)}/rate/{found.link}",
        rows=_ROWS,
        binnings=BINNINGS,
        seven={one.name for one in SEVEN},
    )


def set_open(request: Request) -> Response:
    """Opens or closes a study."""
    here = place(request)
    found = _study(request, here)
    here.store.studies.set_open(found.name, form(request).get("open") == "yes")
    return see(request, "study", place=here.name, study=found.name)


def export(request: Request) -> Response:
    """The ratings or the qualification answers of a study as a file."""
    here = place(request)
    found = _study(request, here)
    what, kind = request.path_params["what"], request.path_params["kind"]
    writers = {"csv": (export_csv, "text/csv"), "jsonl": (export_jsonl, "application/x-ndjson")}
    if what not in ("ratings", "qualification") or kind not in writers:
        missing("There is no such file.")
    write, media = writers[kind]
    lines = write(here.store, found, tests=what == "qualification")
    named = {"content-disposition": f'attachment; filename="{found.name}-{what}.{kind}"'}
    return StreamingResponse(lines, media_type=f"{media}; charset=utf-8", headers=named)


ROUTES = [
    Route("/run/{place}/studies", studies, name="studies"),
    Route("/run/{place}/studies/new", create, methods=["POST"], name="study_create"),
    Route("/run/{place}/studies/{study}", study, name="study"),
    Route("/run/{place}/studies/{study}/state", set_open, methods=["POST"], name="study_state"),
    Route("/run/{place}/studies/{study}/{what}.{kind}", export, name="study_export"),
]
