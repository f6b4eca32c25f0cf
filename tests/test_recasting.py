"""Recasting: grammatical, by whole words, there and back the same, nothing of the old identity left, same outcome."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import character, episode, price_task, turn

from sotopia_pi.environments import kinds
from sotopia_pi.episodes.play import Plan, play
from sotopia_pi.episodes.recasting import ATTRIBUTES, AmbiguousError, Recasting, contrasts, recast, versions
from sotopia_pi.episodes.recasting.articles import article
from sotopia_pi.episodes.recasting.pronouns import exchanged
from sotopia_pi.episodes.recasting.verbs import plural_verb, singular_verb
from sotopia_pi.episodes.records import ActionType, Episode
from sotopia_pi.episodes.scripted import scripted_player
from sotopia_pi.ratings.verifier import verify
from sotopia_pi.world import cast, starter_world
from sotopia_pi.world.records import RETIRED, AgeRange, Casting, Scenario, SocialTask
from sotopia_pi.world.verified import generate

LINH = character("Linh Tran", age=34, public_info="Owns a bakery. She starts work at three.", secret="Owes rent.")
BO = character("Bo Lind", age=31, gender="man", pronouns="he/him", occupation="nurse", secret="Sings.")
NON_VERBAL, ACT = ActionType.NON_VERBAL, ActionType.ACT


def told(*turns: Any, first: Any = LINH, situation: str = "Linh Tran sells a lamp to Bo Lind at her stall.") -> Any:
    """A task and an episode of it with these turns."""
    made = price_task()
    scenario = made.scenario.model_copy(update={"situation": situation})
    task = SocialTask(scenario=scenario, characters=(first, BO))
    return task, episode(task, turns)


def said(task: SocialTask, played: Episode) -> str:
    """All words of a task and its episode."""
    lines = [task.scenario.situation, *task.scenario.goals, *(turn.action.argument for turn in played.turns)]
    return "\n".join([*lines, *(str(value) for c in task.characters for value in c.model_dump().values())])


def recast_text(words: str, kind: ActionType = ActionType.SPEAK, role: int = 1, **fields: Any) -> str:
    """One turn's words after Linh, role 0, was recast."""
    _, made = recast(*told(turn(role, words, kind), situation="A stall."), Recasting(role=0, **fields))
    assert made is not None
    return made.turns[0].action.argument


# Names


def test_a_name_is_exchanged_everywhere_and_only_as_a_whole_word() -> None:
    task, played = told(
        turn(0, "I am Linh. Call me Linh Tran."),
        turn(1, "LINH! Linh's lamp, Ms. Tran, is not a Tranquil one; Linh-style, I'd say."),
        turn(0, "Linh Tran nods.", NON_VERBAL),
    )
    new_task, new = recast(task, played, Recasting(role=0, name="Efua Mensah"))
    assert new is not None
    assert [t.action.argument for t in new.turns] == [
        "I am Efua. Call me Efua Mensah.",
        "EFUA! Efua's lamp, Ms. Mensah, is not a Tranquil one; Efua-style, I'd say.",
        "Efua Mensah nods.",
    ]
    assert new_task.characters[0].name == "Efua Mensah"
    assert new_task.scenario.situation == "Efua Mensah sells a lamp to Bo Lind at her stall."
    assert new_task.characters[1] == task.characters[1]
    assert new_task.id != task.id
    assert new.task_id == new_task.id
    assert new.key != played.key
    assert all(t.raw == t.action.to_json() for t in new.turns)


@pytest.mark.parametrize(
    ("words", "name", "why"),
    [
        ("linh, how much?", "Efua Mensah", "small letters"),
        ("Ask Mensah about it.", "Efua Mensah", "already somebody's"),
        ("Hello.", "Bo Mensah", "already somebody's"),
        ("Hello.", "Efua", "first and a family name"),
        ("Hello.", "Linh Mensah", "share a part"),
    ],
)
def test_a_name_that_is_unclear_is_refused(words: str, name: str, why: str) -> None:
    with pytest.raises(AmbiguousError, match=why):
        recast_text(words, name=name)


@pytest.mark.parametrize(("old", "words"), [("Will Tran", "Will you pay ten?"), ("Tess Tran", "Take Tess' lamp.")])
def test_names_that_are_words_or_end_in_s_are_unclear(old: str, words: str) -> None:
    task, played = told(turn(1, words), first=character(old), situation="A stall.")
    with pytest.raises(AmbiguousError, match=r"a word as well|possessive"):
        recast(task, played, Recasting(role=0, name="Efua Mensah"))


def test_a_family_name_that_both_have_is_unclear() -> None:
    task, played = told(first=character("Linh Lind"), situation="A stall.")
    with pytest.raises(AmbiguousError, match="share a name"):
        recast(task, played, Recasting(role=0, name="Efua Mensah"))


# Pronouns

HER = [
    ("She smiles at Bo.", "He smiles at Bo.", "They smile at Bo."),
    ("She's tired, and she hasn't it.", "He's tired, and he hasn't it.", "They're tired, and they haven't it."),
    ("She's been there.", "He's been there.", "They've been there."),
    ("Does she know? Is she there?", "Does he know? Is he there?", "Do they know? Are they there?"),
    ("Can she come? Did she pay?", "Can he come? Did he pay?", "Can they come? Did they pay?"),
    ("She quickly tries it; she never watches.", "He quickly tries it; he never watches.",
     "They quickly try it; they never watch."),
    ("She herself was there.", "He himself was there.", "They themself were there."),
    ("I saw her at her stall.", "I saw him at his stall.", "I saw them at their stall."),
    ("The lamp is hers. A friendly look at hers, too.", "The lamp is his. A friendly look at his, too.",
     "The lamp is theirs. A friendly look at theirs, too."),
    ("It pleased her. Her only lamp hurt her badly.", "It pleased him. His only lamp hurt him badly.",
     "It pleased them. Their only lamp hurt them badly."),
    ("SHE WALKS.", "HE WALKS.", "THEY WALK."),
    ("She\u2019ll come; she\u2019d sit.", "He\u2019ll come; he\u2019d sit.", "They\u2019ll come; they\u2019d sit."),
    ("She goes, she does, she has, she says.", "He goes, he does, he has, he says.",
     "They go, they do, they have, they say."),
    ("The theory of others is here.", "The theory of others is here.", "The theory of others is here."),
]  # fmt: skip


@pytest.mark.parametrize(("her", "his", "their"), HER)
def test_pronouns_and_verbs_are_exchanged_and_come_back(her: str, his: str, their: str) -> None:
    assert exchanged(her, "she", "he") == his
    assert exchanged(her, "she", "they") == their
    assert exchanged(his, "he", "they") == their
    assert exchanged(their, "they", "she") == her
    assert exchanged(their, "they", "he") == his


@pytest.mark.parametrize(
    ("words", "before", "after"),
    [
        ("I told her stories.", "she", "he"),
        ("We call her back.", "she", "he"),
        ("She nods and smiles.", "she", "they"),
        ("She, of course, walks.", "she", "they"),
        ("They put it there.", "they", "she"),
        ("They nod and smile.", "they", "he"),
        ("They themselves came.", "they", "he"),
        ("They and Bo walk.", "they", "he"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(words: str, before: str, after: str) -> None:
    with pytest.raises(AmbiguousError):
        exchanged(words, before, after)


@given(st.from_regex(r"[a-z]{2,9}", fullmatch=True))
def test_a_verb_goes_to_they_and_back_or_is_refused(verb: str) -> None:
    try:
        third = singular_verb(verb)
        base = plural_verb(third)
    except AmbiguousError as error:
        assert "unclear" in str(error)
        return
    assert third == verb or third.endswith("s")
    assert singular_verb(base) == third


@pytest.mark.parametrize(
    ("third", "base"),
    [("tries", "try"), ("watches", "watch"), ("lies", "lie"), ("passes", "pass"), ("uses", "use"), ("says", "say")],
)
def test_verbs(third: str, base: str) -> None:
    assert plural_verb(third) == base
    assert singular_verb(base) == third


def test_pronouns_of_the_right_person_only() -> None:
    task, played = told(turn(0, "She leans back.", NON_VERBAL), turn(1, "He hands her his money.", ACT))
    with pytest.raises(AmbiguousError):  # "hands her his money": a verb with two objects, but his is Bo's: he is kept
        recast(task, played, Recasting(role=0, pronouns="he/him"))
    task, played = told(turn(0, "She leans back.", NON_VERBAL), turn(1, "He looks at her with his own eyes.", ACT))
    new_task, new = recast(task, played, Recasting(role=0, pronouns="they/them"))
    assert new is not None
    assert [t.action.argument for t in new.turns] == ["They lean back.", "He looks at them with his own eyes."]
    assert new_task.characters[0].public_info == "Owns a bakery. They start work at three."
    assert new_task.scenario.situation == "Linh Tran sells a lamp to Bo Lind at their stall."


@pytest.mark.parametrize(
    ("words", "role", "kind", "why"),
    [
        ("My sister says she knows.", 1, ActionType.SPEAK, "third person"),
        ("I know that Maria is glad, and she will pay.", 1, ActionType.SPEAK, "third person"),
        ("She will pay.", 0, ActionType.SPEAK, "somebody else"),
        ("The two look at each other; they like her.", 1, NON_VERBAL, "they already stands"),
    ],
)
def test_pronouns_that_may_mean_others_are_refused(words: str, role: int, kind: ActionType, why: str) -> None:
    with pytest.raises(AmbiguousError, match=why):
        recast_text(words, kind, role, pronouns="they/them")


def test_both_with_the_same_pronouns_are_refused_where_they_are_used() -> None:
    task, played = told(turn(1, "She nods.", NON_VERBAL))
    same = SocialTask(scenario=task.scenario, characters=(LINH, character("Ada Moss", age=31, occupation="nurse")))
    with pytest.raises(AmbiguousError, match="same pronouns"):
        recast(same, episode(same, played.turns), Recasting(role=0, pronouns="he/him"))


def test_a_title_is_no_third_person() -> None:
    task, played = told(turn(1, "He looks at Ms. Tran, who keeps her hand on it.", NON_VERBAL), situation="A stall.")
    _, new = recast(task, played, Recasting(role=0, pronouns="they/them"))
    assert new is not None
    assert new.turns[0].action.argument == "He looks at Mx. Tran, who keeps their hand on it."


def test_a_pronoun_in_the_others_profile_is_the_others() -> None:
    task, _ = told(situation="A stall.")
    ada = character("Ada Moss", age=31, occupation="nurse", secret="She sings.")
    same = SocialTask(scenario=task.scenario, characters=(LINH, ada))
    made, _ = recast(same, None, Recasting(role=0, pronouns="he/him"))
    assert made.characters[1] == ada
    assert made.characters[0].public_info == "Owns a bakery. He starts work at three."


def test_unknown_pronouns_are_refused() -> None:
    with pytest.raises(AmbiguousError, match="other pronouns"):
        recast_text("Hello.", pronouns="xe/xem")


# Gender words, ages, occupations


def test_gender_words_and_titles() -> None:
    words = recast_text("I'm a woman of my word.", role=0, pronouns="he/him", gender="man")
    assert words == "I'm a man of my word."
    assert recast_text("Good day, Ms. Tran.", pronouns="he/him", gender="man") == "Good day, Mr. Tran."
    for unclear in ("Yes, madam.", "A man came by.", "Mrs. Tran?", "You and your husband's lamp."):
        with pytest.raises(AmbiguousError):
            recast_text(unclear, pronouns="he/him", gender="man")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("I'm 34. It costs $34.", "I'm 18. It costs $34."),
        ("I am a 34-year-old baker.", "I am an 18-year-old baker."),
        ("You are thirty-four years old?", "You are eighteen years old?"),
        ("Aged 34, and now this.", "Aged 18, and now this."),
        ("At the age of 34, no.", "At the age of 18, no."),
        ("It costs 340 or 1,340 or 3.34.", "It costs 340 or 1,340 or 3.34."),
    ],
)
def test_an_age_is_exchanged_where_it_is_one(words: str, expected: str) -> None:
    assert recast_text(words, age=18) == expected


@pytest.mark.parametrize("words", ["I take 34 of them.", "I'm 34 and you have 18.", "Thirty-four lamps."])
def test_a_number_that_may_be_no_age_is_refused(words: str) -> None:
    with pytest.raises(AmbiguousError):
        recast_text(words, age=18)


def test_an_occupation_with_its_article() -> None:
    assert recast_text("I'm a baker, Baker!", role=0, occupation="architect") == "I'm an architect, Architect!"
    assert recast_text("A baker by trade, as a baker is.", occupation="airline pilot").startswith("An airline pilot by")
    for unclear in ("Two bakers came.", "A surgeon I know.", "An baker."):
        with pytest.raises(AmbiguousError):
            recast_text(unclear, occupation="surgeon")
    with pytest.raises(AmbiguousError, match="same occupation"):
        recast_text("Hello.", occupation="nurse")


def test_articles() -> None:
    an = ["hour", "umbrella", "uninvited", "8", "11", "18", "80", "apple", "honest-looking", "ugly", "heir", "honour"]
    a = ["uniform", "university", "user", "European", "one-eyed", "1", "100", "house", "utensil", "honey"]
    assert {article(word) for word in an} == {"an"}
    assert {article(word) for word in a} == {"a"}


def test_the_scenario_decides_who_may_be_cast_and_what_is_checked() -> None:
    task, _ = told()
    picky = task.scenario.model_copy(update={"casting": (Casting(age=AgeRange(low=30, high=40)), Casting())})
    limited = SocialTask(scenario=picky, characters=task.characters)
    with pytest.raises(AmbiguousError, match="another age"):
        recast(limited, None, Recasting(role=0, age=70))
    with pytest.raises(AmbiguousError, match="the outcome is decided by a word"):
        recast(task, None, Recasting(role=0, occupation="lamp"))


# Rules that hold for everything

PHRASES = (
    "Linh, would you take ten?", "I'm Linh Tran.", "Linh's lamp is fine.", "Fourteen dollars, Ms. Tran.", "I'm 34.",
    "I am a baker.", "LINH!", "It is $34.", "Well, my aunt likes it.", "they all left", "Deal at $15.",
)  # fmt: skip
DEEDS = (
    "She smiles.", "Linh Tran crosses her arms.", "He looks at her.", "Bo nods at Linh.", "She has it in her bag.",
    "She nods and waves.", "Her eyes are on the lamp.", "He gives her money.", "The lamp is hers, she thinks.",
)  # fmt: skip
TURNS = st.lists(
    st.one_of(
        st.builds(turn, st.integers(0, 1), st.lists(st.sampled_from(PHRASES), min_size=1, max_size=3).map(" ".join)),
        st.builds(
            turn,
            st.integers(0, 1),
            st.lists(st.sampled_from(DEEDS), min_size=1, max_size=3).map(" ".join),
            st.sampled_from([NON_VERBAL, ACT]),
        ),
    ),
    max_size=6,
)
CASTS = st.builds(
    Recasting,
    role=st.just(0),
    name=st.sampled_from([None, "Efua Mensah", "Karim Mansour"]),
    age=st.sampled_from([None, 18, 71]),
    gender=st.sampled_from([None, "man"]),
    pronouns=st.sampled_from([None, "he/him", "they/them"]),
    occupation=st.sampled_from([None, "architect", "office cleaner"]),
)


@settings(max_examples=100)
@given(TURNS, CASTS)
def test_there_and_back_is_the_same_and_nothing_old_is_left(turns: Sequence[Any], given_: Recasting) -> None:
    task, played = told(*turns)
    try:
        new_task, new = recast(task, played, given_)
    except AmbiguousError as error:
        assert str(error)
        return
    assert new is not None
    words = said(new_task, new)
    gone = [] if given_.name is None else ["Linh", "Tran", "LINH"]
    gone += [] if given_.occupation is None else ["baker"]
    gone += [] if given_.pronouns is None else ["she", "her", "hers"]
    for word in gone:
        assert not re.search(rf"(?<!\w){word}(?!\w)", words, re.IGNORECASE)
    if given_.age is not None:
        assert not re.search(r"(?<![\w$])34(?!\w)", words)
    try:
        back_task, back = recast(new_task, new, given_.back(task.characters[0]))
    except AmbiguousError:
        assert given_.pronouns == "they/them"  # others may be meant by they
        return
    assert back is not None
    assert back_task == task
    assert [t.action for t in back.turns] == [t.action for t in played.turns]


def scripted(count: int) -> list[tuple[SocialTask, Episode]]:
    """Verified episodes of scripted players, of every kind."""
    world, made = starter_world(), []
    for kind in kinds():
        for number, scenario in enumerate(generate(kind, "dev", count, 5)):
            task = cast(scenario, world.characters, world.ties, number)[0]
            plan = Plan(stage="s", task_id=task.id, players=("expert", "partner"), repeat=number)
            agents = {role: scripted_player(name).seat(role, plan.seed(role)) for role, name in enumerate(plan.players)}
            made.append((task, asyncio.run(play(plan, task, agents))))
    return made


def test_outcomes_do_not_change_and_most_episodes_can_be_recast() -> None:
    made = tried = 0
    for task, played in scripted(4):
        for contrast in contrasts():
            tried += 1
            try:
                found = versions(task, played, 0, contrast, played.key)
            except AmbiguousError:
                continue
            made += 1
            assert list(found) == list(contrast.groups)
            assert len({version.task.id for version in found.values()}) == len(contrast.groups)
            for version in found.values():
                assert version.episode is not None
                assert [(r.scores, r.outcome) for r in verify(version.task, version.episode)] == [
                    (r.scores, r.outcome) for r in verify(task, played)
                ]
    assert made > 0.7 * tried


def test_terms_stay_as_they_were_declared() -> None:
    task, played = told(turn(1, "Linh, I am 31 and have $34.", terms="$34"), situation="A stall.")
    _, new = recast(task, played, Recasting(role=0, name="Efua Mensah", age=68))
    assert new is not None
    assert (new.turns[0].action.argument, new.turns[0].action.terms) == ("Efua, I am 31 and have $34.", "$34")
    assert new.turns[0].raw == new.turns[0].action.to_json()


def test_no_word_is_exchanged_that_terms_may_name() -> None:
    scenario = generate("friend", "test", 1, 5)[0]
    task = SocialTask(scenario=scenario, characters=(LINH, BO))
    known = scenario.check.side(0).people[0].name  # type: ignore[union-attr]
    with pytest.raises(AmbiguousError, match="decided by a word"):
        recast(task, None, Recasting(role=1, name=f"{known} Mensah"))


def test_a_task_whose_check_is_of_an_earlier_version_is_recast_and_keeps_it() -> None:
    old = price_task().scenario.model_dump() | {"check": {"kind": "fact", "subjects": ["the code", "the name"]}}
    task = SocialTask(scenario=Scenario.model_validate(old, context=RETIRED), characters=(LINH, BO))
    new_task, _ = recast(task, None, Recasting(role=0, name="Efua Mensah"))
    assert new_task.characters[0].name == "Efua Mensah"
    assert new_task.scenario.check == task.scenario.check


def test_groups_differ_in_nothing_else() -> None:
    task = cast(generate("price", "dev", 1, 5)[0], (LINH, BO), (), 1)[0]
    role = task.characters.index(LINH)
    for contrast in contrasts():
        found = versions(task, None, role, contrast, "seed")
        people = [version.task.characters[role].model_dump() for version in found.values()]
        differing = {name for name in people[0] if len({str(person[name]) for person in people}) > 1}
        expected = {
            "name: origin": {"name"},
            "name: gender": {"name", "pronouns", "gender"},
            "pronouns": {"pronouns", "gender"},
            "age": {"age"},
            "occupation": {"occupation"},
        }[contrast.name]
        assert differing - {"public_info"} == expected
        assert len({version.task.characters[1 - role].id for version in found.values()}) == 1
        others = {version.task.scenario.id for version in found.values()}
        assert others == {task.scenario.id}


@pytest.mark.parametrize(
    ("fields", "contrast", "why"),
    [
        ({"occupation": "retired baker"}, "age", "the occupation tells the age"),
        ({"secret": "Longs for her Vietnamese home."}, "name: origin", "the profile tells more"),
        ({"personality": "A good mother."}, "pronouns", "the profile tells more"),
    ],
)
def test_a_profile_that_tells_the_attribute_elsewhere_is_left_out(
    fields: dict[str, Any], contrast: str, why: str
) -> None:
    task, _ = told(first=character("Linh Tran", **fields), situation="A stall.")
    asked = next(item for item in contrasts() if item.name == contrast)
    with pytest.raises(AmbiguousError, match=why):
        versions(task, None, 0, asked, "seed")


def test_attributes_have_names() -> None:
    assert ATTRIBUTES == ("name", "pronouns", "age", "occupation")
    assert {item.attribute for item in contrasts(["name"])} == {"name"}
    with pytest.raises(ValueError, match="there is no attribute 'colour'"):
        contrasts(["colour"])
