"""What follows from a refusal with status 400 or 422: for that call, for later calls, for the report."""

from __future__ import annotations

from typing import Any

import pytest
from serving import ask, client, completion, scripted, serving

from sotopia_pi.episodes.records import action_schema
from sotopia_pi.errors import ModelError, ServiceError
from sotopia_pi.models.protocol import Sampling
from sotopia_pi.models.remote.complaints import Said
from sotopia_pi.models.remote.ledger import Ledger
from sotopia_pi.models.remote.structured import Evidence, blame

WHOLE = {"json_schema", "temperature", "top_p", "seed", "max_tokens"}
SAMPLING = Sampling(0.7, 0.9, 50)


def refusal(said: str, **more: Any) -> tuple[int, Any]:
    return 400, {"error": {"message": said, **more}}


def sent(body: dict[str, Any]) -> set[str]:
    """What a request asks for besides the messages."""
    kind = (body.get("response_format") or {}).get("type")
    return {name for name in (*body, kind) if name and name not in ("model", "messages", "response_format")}


@pytest.mark.parametrize(
    "said",
    [
        refusal("This prompt was stopped by the management policy for content.", code="content_filter"),
        refusal("Flagged words: 'what a temperature today'"),
        refusal("The word `seed` in “I will seed the top_p of hills” is not allowed here", code="moderation"),
        refusal("Failed to generate JSON. Please adjust your prompt.", code="json_validate_failed"),
        refusal("Bad request"),
        (422, {"detail": "cannot process"}),
    ],
)
def test_one_refusal_changes_one_call(said: Any) -> None:
    ledger = Ledger()
    with scripted(None, said, None) as server:
        model = client(server, ledger=ledger)
        for _ in range(4):
            ask(model)
        bodies = [sent(body) for body in server.bodies or ()]
    assert bodies == [WHOLE, WHOLE, WHOLE - {"json_schema"} | {"json_object"}, WHOLE, WHOLE]
    assert ledger.not_sent() == {"mock": ["json_schema in 1 of 4 calls"]}


def test_what_filters_and_failed_generations_refuse_is_never_remembered() -> None:
    filtered = refusal("content management policy", code="content_filter")
    broken = refusal("failed to validate JSON", code="json_validate_failed")
    with scripted(
        *[answer for _ in range(8) for answer in (filtered, completion("x"), broken, completion("x"))], None
    ) as server:
        model = client(server)
        for _ in range(17):
            ask(model)
        assert sent((server.bodies or [])[-1]) == WHOLE


def test_refusals_that_name_nothing_are_remembered_after_five_in_a_row() -> None:
    silent = [refusal("Bad request"), completion("x")]
    with scripted(*silent * 4, None, *silent * 5, None) as server:
        model = client(server)
        for _ in range(11):
            ask(model)
        asked = [("json_schema" in sent(body)) for body in server.bodies or ()]
    assert asked == [True, False] * 4 + [True] + [True, False] * 5 + [False]


def test_what_a_server_took_before_takes_more_than_two_refusals_to_be_left_out() -> None:
    named = [refusal("temperature is not supported"), completion("x")]
    with scripted(None, *named * 2, None, *named * 5, None) as server:
        model = client(server)
        for _ in range(10):
            ask(model)
        asked = [("temperature" in sent(body)) for body in server.bodies or ()]
    assert asked == [True] + [True, False] * 2 + [True] + [True, False] * 5 + [False]


@pytest.mark.parametrize(
    "said",
    [
        "Unsupported parameter: 'temperature' is not supported with this model.",
        "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) is supported.",
        "invalid temperature: only 1 is allowed for this model",
        "`temperature` is deprecated for this model.",
        "Unrecognized request argument supplied: temperature",
        "m does not support parameters: ['temperature'], for model=m.",
    ],
)
def test_a_parameter_that_is_named_as_unsupported_is_left_out(said: str) -> None:
    found = blame(Said(said), SAMPLING, action_schema(), frozenset())
    assert found is not None and (found.what, found.evidence) == ("temperature", Evidence.NAMED)


@pytest.mark.parametrize(
    "said",
    [
        "response_format of type json_schema is not supported",
        "This response_format type is unavailable now",
        "Invalid schema for response_format 'action'",
        "'response_format.type' must be 'text'",
        "structured outputs are not enabled",
    ],
)
def test_a_format_that_is_named_as_unsupported(said: str) -> None:
    found = blame(Said(said), SAMPLING, action_schema(), frozenset())
    assert found is not None and (found.what, found.evidence) == ("json_schema", Evidence.NAMED)


@pytest.mark.parametrize(
    "said",
    [
        Said("[] Extra inputs are not permitted: body.seed"),
        Said("Argument not supported", param="seed", code="unsupported_parameter"),
        Said("unknown field `seed`"),
    ],
)
def test_a_seed_may_be_unknown(said: Said) -> None:
    found = blame(said, SAMPLING, action_schema(), frozenset())
    assert found is not None and found.what == "seed"


@pytest.mark.parametrize(
    ("said", "sampling", "what"),
    [
        ("Give temperature or top_p, not both.", Sampling(0.7, 1.0, 9), "top_p"),
        ("`temperature` and `top_p` cannot both be given. Please use only one.", Sampling(1.0, 0.9, 9), "temperature"),
        ("temperature and top_p are mutually exclusive", Sampling(0.7, 0.9, 9), "top_p"),
        ("The model does not support both temperature and top_p", Sampling(0.0, 1.0, 9), "top_p"),
        ("seed cannot be used together with temperature", Sampling(0.7, 1.0, 9), "seed"),
    ],
)  # fmt: skip
def test_of_parameters_that_exclude_each_other_the_neutral_one_goes(said: str, sampling: Sampling, what: str) -> None:
    found = blame(Said(said), sampling, action_schema(), frozenset())
    assert found is not None and found.what == what


def test_temperature_is_kept_where_top_p_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger()
    with serving(exclusive=("temperature", "top_p")) as server:
        model = client(server, ledger=ledger)
        for _ in range(5):
            ask(model, sampling=Sampling(0.7, 1.0, 50))
        bodies = [sent(body) for body in server.bodies or ()]
    assert bodies == [WHOLE, WHOLE - {"top_p"}] * 2 + [WHOLE - {"top_p"}] * 3
    assert ledger.not_sent() == {"mock": ["top_p in 5 of 5 calls"]}
    assert [record.getMessage() for record in caplog.records if "answered without top_p" in record.getMessage()] == [
        f"127.0.0.1:{server._port} refused a call of mock (Give temperature or top_p, not both.); "
        "it was answered without top_p. The report counts such calls."
    ]


def test_a_context_that_is_too_long_is_not_asked_again() -> None:
    with scripted(None, refusal("This model's maximum context length is 4096 tokens")) as server:
        model = client(server)
        ask(model)
        with pytest.raises(ModelError, match=r"refused a call: .* 4096 tokens\."):
            ask(model)
    assert len(server.bodies or ()) == 2


@pytest.mark.parametrize(
    "said",
    [
        refusal("The prompt triggered the content management policy.", code="content_filter"),
        refusal("Your input was flagged as potentially violating our usage policy.", code="invalid_prompt"),
        (403, {"error": {"message": "Blocked by moderation", "code": "moderation_blocked"}}),
        (422, {"detail": "The prompt was prohibited by our safety system."}),
    ],
)
def test_what_a_filter_refuses_for_good_is_a_filtered_reply(said: Any) -> None:
    """As with status 200: the turn is invalid, and no episode leaves its mean because of what was said in it."""
    with scripted(None, *[said] * 12) as server:
        model = client(server)
        ask(model)
        reply = ask(model)
    assert (reply.text, reply.finish, reply.cost) == ("", "filtered", 0.0)


def test_a_filter_that_never_answered_stops_the_run() -> None:
    with scripted(*[refusal("content management policy", code="content_filter")] * 80) as server:
        model = client(server)
        with pytest.raises(ServiceError, match="refuses every call"):
            for _ in range(20):
                ask(model)
