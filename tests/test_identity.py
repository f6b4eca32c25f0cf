"""Who somebody is: ids that are none, spellings of one id, and people who came before ids were folded."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studying import Visitor, begun, new_study, rate_next, site_of
from test_invitations import invitation

from sotopia_pi.episodes.people import folded
from sotopia_pi.errors import ConfigError
from sotopia_pi.store import Store
from sotopia_pi.studies.choosing import references_of
from sotopia_pi.studies.desk import Desk
from sotopia_pi.studies.identity import is_placeholder, participant_of
from sotopia_pi.studies.records import PARTICIPANT

_PLACEHOLDERS = """
{{%PROLIFIC_PID%}} ${workerId} ${e://Field/PROLIFIC_PID} {{field:x}} [[x]] %%x%% <id> __ID__ {id} [id] %ID% $workerId
:id #{id} *|EMAIL|* {!Contact.Id} <%=id%> @{id} $(id) {{a}}-{{b}} pid-${workerId1} {{ID ##id## <your_id1> ｛｛x｝｝
%7B%7B%25PROLIFIC_PID%25%7D%7D %257B%257Bx%257D%257D &lt;id&gt; &#123;&#123;x&#125;&#125;
undefined null None NaN n/a (null) - ___ ASSIGNMENT_ID_NOT_AVAILABLE
PROLIFIC_PID workerId participant_id participant user-id ExternalReference your-id-here insert_id_here pid XXXXXXXX
"""
PLACEHOLDERS = [
    *_PLACEHOLDERS.split(),
    "[object Object]",
    "{{ id }}",
    " null ",
    "\u200bnull\ufeff",
    "Enter your ID here",
    "Your Prolific ID",
]
_REAL = """
5f3a9b2c1d4e5f6a7b8c9d0e A1B2C3D4E5F6G7 AXYZKLMNOPQRS kim@example.org Kim.Lee+x@uni.example.edu user%x@example.org
12345 7 kim ann-5f3 p0 x worker-7 participant_12 R_1mYXjk3QbC2dEfG 6f9619ff-8b86-d011-b42d-00cf4fc964ff
{6F9619FF-8B86-D011-B42D-00CF4FC964FF} _aB3x-Zq_ aGVsbG8= Noneya nullmann undefined42 Xavier Sona Ida Sidney müller 李雷
o'brien@example.org u/17 100%real
"""


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_is_no_id(text: str) -> None:
    assert is_placeholder(text)
    with pytest.raises(ConfigError, match="where your participant id should stand: open it from the platform"):
        participant_of(PARTICIPANT, {"workerId": text})


@pytest.mark.parametrize("text", _REAL.split())
def test_a_real_id_is_kept_as_it_is(text: str) -> None:
    assert participant_of(PARTICIPANT, {"PROLIFIC_PID": f" {text} "}) == text


def test_the_first_real_id_counts() -> None:
    given_ = {"participant": "", "PROLIFIC_PID": "{{%PROLIFIC_PID%}}", "workerId": "A1B2"}
    assert participant_of(PARTICIPANT, given_) == "A1B2"
    assert participant_of(PARTICIPANT, {"participant": " ", "other": "x"}) == ""
    assert is_placeholder("seat_no", ["seatNo"]) and not is_placeholder("seat_no")


@given(st.text(st.sampled_from("username_-{}<>[]%$&;:xid "), max_size=500))
def test_any_text_is_looked_through_at_once(text: str) -> None:
    is_placeholder(text)


@pytest.mark.parametrize("other", [" abc7 ", "ABC7", "Abc7\n", "ａｂｃ７", "a\u200bbc7", "abc7\ufe0f", "\u202eabc7"])
def test_case_spaces_and_what_cannot_be_seen_make_nobody_else(other: str) -> None:
    assert folded(other) == "abc7"
    assert invitation().pseudonym(other) == invitation().pseudonym("abc7")


def test_folding_once_is_enough() -> None:
    for text in ("ǅ", "ﬃ", "İ", "ΐ", "ͅα", "Straße", "㎓"):
        assert folded(folded(text)) == folded(text)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Store.open(tmp_path / "run.db") as store:
        yield Desk(store, new_study(store))


def test_spellings_of_an_id_are_one_annotator(desk: Desk) -> None:
    for name in ("A1B2C3", "a1b2c3", " A1b2C3 "):
        begun(desk, name)
    assert len(desk.store.studies.annotators("first")) == 1
    for name in ("${workerId}", "{{%PROLIFIC_PID%}}", "undefined"):
        assert desk.begin(name, "a browser") is None


@pytest.mark.parametrize(("stored", "comes"), [("A1B2", "A1B2"), ("A1B2", "a1b2"), ("Kim@X.org", "Kim@X.org")])
def test_who_came_before_ids_were_folded_finds_their_place(
    desk: Desk, stored: str, comes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("sotopia_pi.studies.desk.folded", str)
        begun(desk, stored)
    hashed = hmac.new(desk.study.salt.encode(), stored.encode(), hashlib.sha256).hexdigest()
    assert hashed.encode() in b"".join(one.read_bytes() for one in Path(desk.store.where).parent.glob("run.db*"))
    begun(desk, comes)
    assert len(desk.store.studies.annotators("first")) == 1


def test_a_rater_is_found_however_the_owner_writes_it(desk: Desk) -> None:
    rate_next(desk, begun(desk, "p"))
    (rater,) = desk.store.raters()
    found = references_of(desk.store, rater, None)
    assert references_of(desk.store, f" {rater.upper()}", None) == found
    with pytest.raises(ConfigError, match="no ratings by 'human:other'"):
        references_of(desk.store, "human:other", None)


@pytest.mark.parametrize("required", [True, False])
def test_a_placeholder_in_the_address_is_refused_with_a_sentence(tmp_path: Path, required: bool) -> None:
    with site_of(tmp_path) as (store, site):
        study = new_study(store, participant_required=required)
        visitor = Visitor(site)
        page = visitor.get(f"/rate/{study.link}?PROLIFIC_PID=%7B%7B%25PROLIFIC_PID%25%7D%7D").text
        assert "where your participant id should stand" in page and "begin</button>" not in page
        answer = visitor.post(f"/rate/{study.link}/begin", {"participant": "${workerId}"})
        assert answer.status_code == 403 and "where your participant id should stand" in answer.text
        assert not store.studies.annotators("first")
        for query in ("?PROLIFIC_PID=5F3A9B", "?workerId=5f3a9b"):
            assert "begin</button>" in Visitor(site).get(f"/rate/{study.link}{query}").text
