"""Studies without a browser: who gets what, what is stored, what is asked again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from studying import Clock, begun, filled, key_of, new_study, rate_next, step_of

from sotopia_pi.errors import ConfigError, StoreError
from sotopia_pi.store import Store
from sotopia_pi.studies import choosing
from sotopia_pi.studies.answers import draft_of, mark, read_answer
from sotopia_pi.studies.desk import Desk
from sotopia_pi.studies.export import export_csv
from sotopia_pi.studies.records import Answer, Qualification, StudySettings
from sotopia_pi.studies.status import status


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    """An empty store, on SQLite and on PostgreSQL."""
    with Store.open(where) as opened:
        yield opened


# What is given out


def test_each_episode_goes_to_k_people_and_becomes_ratings_in_the_store(store: Store) -> None:
    desk = Desk(store, new_study(store, count=4))
    tokens = [begun(desk, f"p{n}") for n in range(3)]
    done = {token: [] for token in tokens}
    for _ in range(5):
        for token in tokens:
            if (episode := rate_next(desk, token)) is not None:
                done[token].append(episode)
    assert Counter(key for keys in done.values() for key in keys) == dict.fromkeys(map(key_of, range(4)), 2)
    assert all(len(set(keys)) == len(keys) for keys in done.values())
    ratings = list(store.ratings())
    assert len(ratings) == 4 * 2 * 2
    assert all(one.rater.startswith("human:first/") and len(one.scores) == len(one.reasons) == 7 for one in ratings)
    assert {one.role for one in ratings} == {0, 1}
    assert [step_of(desk, token).stop for token in tokens] == ["done"] * 3


def test_annotators_have_orders_of_their_own_and_roles_are_shuffled(store: Store) -> None:
    desk = Desk(store, new_study(store, count=8, annotators=8))
    orders, roles = set(), set()
    for n in range(8):
        token = begun(desk, f"p{n}")
        order = []
        while (step := step_of(desk, token)).assignment is not None:
            roles.add(step.assignment.roles)
            order.append(rate_next(desk, token))
        orders.add(tuple(order))
    assert len(orders) == 8  # of 40,320
    assert roles == {(0, 1), (1, 0)}


def test_a_score_belongs_to_the_role_that_was_shown_in_its_place(store: Store) -> None:
    desk = Desk(store, new_study(store, count=6, annotators=1))
    token = begun(desk)
    annotator = desk.annotator(token)
    assert annotator is not None
    for _ in range(6):
        own = desk.step(annotator).assignment
        assert own is not None
        desk.submit(annotator, own, filled(**{"score-1-goal": "9", "score-2-goal": "2"}))
        by_role = {one.role: one.scores["goal"] for one in store.ratings(episode=own.episode)}
        assert by_role == {own.roles[0]: 9.0, own.roles[1]: 2.0}


def test_an_expired_lease_is_given_to_somebody_else_and_the_late_submission_counts(store: Store) -> None:
    clock = Clock()
    desk = Desk(store, new_study(store, count=1, annotators=1, lease_minutes=10), clock)
    slow, quick = begun(desk, "slow"), begun(desk, "quick")
    late = desk.annotator(slow)
    assert late is not None
    own = desk.step(late).assignment
    assert own is not None
    assert step_of(desk, quick).stop == "nothing_left"
    clock.now += 601
    assert rate_next(desk, quick) == own.episode
    handed = desk.submit(late, own, filled(1))
    assert not handed.again
    assert len({one.rater for one in store.ratings()}) == 2
    assert status(store, desk.study, clock()).rated == 2


def test_what_is_begun_comes_back_first_with_its_draft(store: Store) -> None:
    clock = Clock()
    desk = Desk(store, new_study(store, count=5, annotators=1, lease_minutes=10), clock)
    token = begun(desk, "p")
    annotator = desk.annotator(token)
    assert annotator is not None
    first = desk.step(annotator).assignment
    assert first is not None
    assert desk.save(annotator, first, {"score-1-goal": "7", "reason-1-goal": "so far", "csrf": "x", "other": "y"})
    clock.now += 3_600
    again = step_of(desk, begun(desk, "p")).assignment
    assert again.id == first.id
    assert again.draft == {"score-1-goal": "7", "reason-1-goal": "so far"}
    assert again.until > clock()
    assert desk.submit(annotator, again, filled()).again is False
    assert desk.save(annotator, again, {"score-1-goal": "1"}) is False


def test_submitting_twice_stores_once_and_changes_nothing(store: Store) -> None:
    desk = Desk(store, new_study(store))
    annotator = desk.annotator(begun(desk))
    assert annotator is not None
    own = desk.step(annotator).assignment
    assert own is not None
    assert not desk.submit(annotator, own, filled()).again
    before = list(store.ratings())
    assert desk.submit(annotator, own, filled(2)).again
    assert list(store.ratings()) == before


def test_a_person_gets_no_more_than_the_study_gives_one(store: Store) -> None:
    desk = Desk(store, new_study(store, count=5, per_annotator=2))
    token = begun(desk)
    assert [rate_next(desk, token) is None for _ in range(3)] == [False, False, True]
    assert step_of(desk, token).stop == "done"


def test_one_more_annotator_is_asked_while_scores_are_far_apart(store: Store) -> None:
    desk = Desk(store, new_study(store, count=1))
    people = [begun(desk, f"p{n}") for n in range(5)]
    assert rate_next(desk, people[0], -4)
    assert rate_next(desk, people[1], 4)
    assert status(store, desk.study).again == 1
    assert rate_next(desk, people[2], 3)
    assert rate_next(desk, people[3]) is None  # two of the three agree
    now = status(store, desk.study)
    assert (now.complete, now.rated, now.needed) == (1, 3, 3)


@pytest.mark.parametrize(
    ("scores", "needed"),
    [([], 2), ([3], 2), ([3, 8], 2), ([3, 9], 3), ([3, 9, 6], 3), ([0, 10, 5], 3), ([0, 6], 3), ([0, 6, 12], 4)],
)
def test_how_many_annotators_an_episode_needs(scores: list[float], needed: int) -> None:
    rule = choosing.settings_from({"reannotation": {"maximum": 4}}, "test")
    assert rule.needed([{0: score, 1: 5.0} for score in scores]) == needed
    assert rule.needed([{0: 5.0, 1: score} for score in scores]) == needed


def test_the_maximum_ends_the_asking() -> None:
    assert StudySettings().needed([{0: 0}, {0: 6}, {0: 12}]) == 3
    assert StudySettings(reannotation=None).needed([{0: 0}, {0: 10}]) == 2


def test_closing_gives_nothing_out_and_still_takes_what_is_in_hand(store: Store) -> None:
    study = new_study(store)
    desk = Desk(store, study)
    token = begun(desk, "p")
    annotator = desk.annotator(token)
    assert annotator is not None
    own = desk.step(annotator).assignment
    assert own is not None
    store.studies.set_open("first", False)
    closed = Desk(store, choosing.find(store, "first"))
    assert closed.begin("new") is None
    assert closed.begin("p") is not None
    assert not closed.submit(annotator, own, filled()).again
    assert closed.step(annotator).stop == "done"
    with pytest.raises(StoreError, match="no study 'other'"):
        store.studies.set_open("other", True)


def test_a_closed_study_gives_out_no_practice(store: Store) -> None:
    study = new_study(store, tests=1)
    desk = Desk(store, study)
    early, late = begun(desk, "early"), begun(desk, "late")
    own = step_of(desk, early).assignment
    store.studies.set_open(study.name, False)
    assert step_of(desk, late).stop == "closed"
    assert step_of(desk, early).assignment == own, "what is in hand may be finished"


# The end


def test_a_code_is_for_who_rated_what_was_asked(store: Store) -> None:
    desk = Desk(store, new_study(store, count=3, annotators=1, reannotation=None, per_annotator=2))
    first, second, late = (begun(desk, name) for name in ("first", "second", "late"))
    for token in (first, first, second):
        assert rate_next(desk, token)
    ends = {token: step_of(desk, token) for token in (first, second, late)}
    assert [(end.stop, end.rated) for end in ends.values()] == [("done", 2), ("nothing_left", 1), ("nothing_left", 0)]
    codes = [desk.end(end.stop, desk.annotator(token)).code for token, end in ends.items()]
    assert codes == [desk.annotator(first).code, None, None]
    store.studies.set_open("first", False)
    assert [step_of(desk, token).stop for token in (first, second, late)] == ["done", "done", "closed"]


def test_the_other_ends_have_the_codes_that_the_owner_gave(store: Store) -> None:
    desk = Desk(store, new_study(store, nothing_left={"code": "NONE"}, screened_out={"url": "https://example.com"}))
    annotator = desk.annotator(begun(desk))
    assert desk.end("nothing_left", annotator).code == "NONE"
    assert desk.end("screened_out", annotator).model_dump() == {"code": None, "url": "https://example.com"}
    for end in ("nothing_left", "screened_out"):
        with pytest.raises(ConfigError, match="the code of done is for who has rated"):
            choosing.settings_from({"done": {"code": "X"}, end: {"code": "X"}}, "test")


# Who somebody is


def test_a_participant_is_one_annotator_and_their_id_is_not_stored(store: Store, tmp_path: Path) -> None:
    desk = Desk(store, new_study(store))
    first, again, other = (desk.begin(name) for name in ("platform-id-77", "platform-id-77", "platform-id-78"))
    assert first and again and other
    assert first[0].pseudonym == again[0].pseudonym != other[0].pseudonym
    assert desk.annotator(first[1]) is None, "an old session ends when a new one begins"
    assert desk.annotator(again[1]) == again[0]
    assert desk.annotator("") is None and desk.annotator("wrong \ud800") is None
    if (tmp_path / "run.db").exists():
        held = b"".join(path.read_bytes() for path in tmp_path.glob("run.db*"))
        assert b"platform-id-77" not in held
        assert again[1].encode() not in held
        assert again[0].pseudonym.encode() in held


def test_beginning_at_the_same_moment_makes_one_annotator(store: Store) -> None:
    desk = Desk(store, new_study(store))
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(desk.begin("same")[0].pseudonym)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 8 and len(set(names)) == 1
    assert len(store.studies.annotators("first")) == 1


def test_nobody_gets_at_what_another_has_in_hand(store: Store) -> None:
    desk = Desk(store, new_study(store))
    one, two = (desk.annotator(begun(desk, name)) for name in "ab")
    assert one and two
    own = desk.step(one).assignment
    assert own is not None
    assert store.assignments.get(two, own.id) is None
    assert not desk.save(two, own, {"score-1-goal": "1"})
    with pytest.raises(StoreError, match="no such assignment"):
        desk.submit(two, own, filled())
    assert list(store.ratings()) == []


# Qualification


def test_the_qualification_is_failed_and_passed(store: Store) -> None:
    desk = Desk(store, new_study(store, tests=1, count=2))
    token = begun(desk)
    annotator = desk.annotator(token)
    assert annotator is not None
    step = desk.step(annotator)
    assert step.test and step.assignment is not None
    desk.submit(annotator, step.assignment, filled(3))
    first = store.assignments.get(annotator, step.assignment.id)
    assert first is not None
    feedback = desk.feedback(first)
    assert feedback is not None and not feedback.passed and feedback.left == 1
    again = desk.annotator(token)
    assert again is not None
    second = desk.step(again).assignment
    assert second is not None and second.attempt == 2
    desk.submit(again, second, filled(-2))
    qualified = desk.annotator(token)
    assert qualified is not None and qualified.phase == "qualified"
    assert not desk.step(qualified).test
    assert list(store.ratings()) == [], "answers of the qualification are no ratings"
    assert len(list(export_csv(store, desk.study, tests=True))) == 3
    assert len(list(export_csv(store, desk.study))) == 1


def test_who_fails_every_attempt_is_screened_out_for_good(store: Store) -> None:
    desk = Desk(
        store, new_study(store, tests=1, count=2, screened_out={"code": "OUT1", "url": "https://example.com/x"})
    )
    for _ in range(2):
        annotator = desk.annotator(begun(desk, "p"))
        assert annotator is not None
        own = desk.step(annotator).assignment
        assert own is not None
        desk.submit(annotator, own, filled(4))
    annotator = desk.annotator(begun(desk, "p"))
    assert annotator is not None
    assert desk.step(annotator).stop == "screened_out"
    assert desk.end("screened_out", annotator).code == "OUT1"
    assert desk.end("done", annotator).code == annotator.code


def test_a_share_of_the_scores_may_be_enough() -> None:
    answer = Answer(scores={"0": {"goal": 9, "secret": -5}}, reasons={})
    reference = {"0": {"goal": 5.0, "secret": -6.0}}
    assert mark(answer, reference, Qualification())[1] is False
    marked, passed = mark(answer, reference, Qualification(share=0.5))
    assert passed
    assert [one.within for one in marked] == [False, True]
    assert mark(answer, {"0": {"goal": 7.0}}, Qualification())[1] is True


# Forms


def test_errors_are_one_sentence_per_field() -> None:
    rules = StudySettings()
    given_ = filled(**{"score-1-goal": "11", "score-2-secret": "", "reason-2-goal": " ", "score-1-knowledge": "3.5"})
    errors = read_answer(given_, (1, 0), rules).errors
    assert errors == {
        "score-1-knowledge": "The score must be a whole number from 0 to 10.",
        "score-1-goal": "The score must be a whole number from 0 to 10.",
        "score-2-secret": "Choose a score from -10 to 0.",
        "reason-2-goal": "Write a reason for the score.",
    }
    assert read_answer(filled(**{"score-1-secret": "\N{MINUS SIGN}4"}), (0, 1), rules).answer is not None


@given(st.dictionaries(st.sampled_from([*filled(), "other"]), st.text(max_size=30)))
def test_any_form_is_read_or_refused_field_by_field(fields: dict[str, str]) -> None:
    rules = StudySettings()
    read = read_answer(fields, (0, 1), rules)
    assert (read.answer is None) == bool(read.errors)
    assert set(read.errors) <= set(filled())
    assert set(draft_of(fields, (0, 1), rules)) <= set(fields) & set(filled())
    if read.answer is not None:
        for scores in read.answer.scores.values():
            assert all(one.low <= scores[one.name] <= one.high for one in rules.dimensions)


# Whatever happens in whatever order


class Queue(RuleBasedStateMachine):
    """People come, draft, submit late or twice, and vanish; time passes. Nothing may be lost or doubled."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = Store.open(":memory:")
        self.tokens: list[str] = []
        self.hands: list[tuple[str, Any]] = []
        self.submitted: dict[tuple[str, str], int] = {}
        self.late = 0
        study = new_study(self.store, count=3, lease_minutes=10)
        self.desk = Desk(self.store, study, self.clock)

    def teardown(self) -> None:
        self.store.close()

    def who(self, number: int) -> Any:
        return self.desk.annotator(self.tokens[number % len(self.tokens)])

    @precondition(lambda self: len(self.tokens) < 5)
    @rule()
    def comes(self) -> None:
        self.tokens.append(begun(self.desk, f"p{len(self.tokens)}"))

    @precondition(lambda self: self.tokens)
    @rule(number=st.integers(0, 4))
    def asks(self, number: int) -> None:
        annotator = self.who(number)
        step = self.desk.step(annotator)
        if step.assignment is not None:
            self.hands.append((annotator.pseudonym, step.assignment))
            assert (annotator.pseudonym, step.assignment.episode) not in self.submitted

    @precondition(lambda self: self.hands)
    @rule(number=st.integers(0, 50), shift=st.integers(-5, 5))
    def submits(self, number: int, shift: int) -> None:
        pseudonym, own = self.hands[number % len(self.hands)]
        annotator = next(one for one in self.store.studies.annotators("first") if one.pseudonym == pseudonym)
        held = self.store.assignments.get(annotator, own.id)
        assert held is not None
        self.late += held.submitted is None and held.until <= self.clock()
        handed = self.desk.submit(annotator, own, filled(shift))
        key = (pseudonym, own.episode)
        assert handed.again == (key in self.submitted)
        if not handed.again:
            self.submitted[key] = shift

    @precondition(lambda self: self.hands)
    @rule(number=st.integers(0, 50))
    def drafts(self, number: int) -> None:
        pseudonym, own = self.hands[number % len(self.hands)]
        annotator = next(one for one in self.store.studies.annotators("first") if one.pseudonym == pseudonym)
        self.desk.save(annotator, own, {"score-1-goal": "3"})

    @rule(minutes=st.sampled_from([1, 6, 11]))
    def waits(self, minutes: int) -> None:
        self.clock.now += 60 * minutes

    @invariant()
    def what_was_submitted_is_stored_once(self) -> None:
        stored = Counter((one.rater.split("/")[1], one.episode) for one in self.store.ratings())
        assert stored == dict.fromkeys(self.submitted, 2)

    @invariant()
    def nobody_more_is_asked_than_needed(self) -> None:
        for one in status(self.store, self.desk.study, self.clock()).episodes:
            if not self.late and not any(own.draft for _, own in self.hands):
                assert one.rated <= one.needed


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=15, stateful_step_count=30, suppress_health_check=list(HealthCheck))
