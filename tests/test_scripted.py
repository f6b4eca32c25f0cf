"""Scripted players: they deal, stay within their limits, keep their words short, and survive any partner."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from itertools import product
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sotopia_pi.episodes.agents import Agent, Player
from sotopia_pi.episodes.play import Plan, play
from sotopia_pi.episodes.reading import Terms, read_negotiation
from sotopia_pi.episodes.records import Action, ActionType, Episode, StopReason, Turn
from sotopia_pi.episodes.scripted import EXPERTS, PARTNERS, STYLES, expert_player, partner_player, scripted_player
from sotopia_pi.episodes.scripted.expert_phrases import EXPERT_PHRASES
from sotopia_pi.episodes.scripted.ladders import Ladder
from sotopia_pi.episodes.scripted.negotiator import Move, ladder_of
from sotopia_pi.episodes.scripted.partner_phrases import PARTNER_PHRASES
from sotopia_pi.episodes.scripted.phrasebook import MAX_WORDS, Phrasebook, Templates
from sotopia_pi.episodes.scripted.standing import Negotiable
from sotopia_pi.episodes.views import MAX_TURNS, Seen, view
from sotopia_pi.errors import ConfigError
from sotopia_pi.world.checks import DivisionSide, FactSide, MeetingSide, PriceSide
from sotopia_pi.world.records import Character, Scenario, SocialTask
from sotopia_pi.world.verified import KINDS, SPLITS, generate
from sotopia_pi.world.verified.catalogue import FACTS, PRICES

NEGOTIATIONS = ("price", "division", "meeting")
#: Stating a limit as a limit.
LIMIT_WORDS = re.compile(
    r"\b(limit|lowest|highest|maximum|minimum|at most|at least|no more than|no less than|budget)\b"
)


def character(name: str) -> Character:
    return Character(
        name=name, age=40, gender="woman", pronouns="she/her", occupation="baker", public_info="Bakes.", big_five="",
        moral_values=(), schwartz_values=(), personality="", decision_style="", secret="None.",
    )  # fmt: skip


CAST = (character("Ada Moss"), character("Bea Lind"))


def tasks(kind: str, count: int, split: str = "train", seed: int = 7) -> list[SocialTask]:
    return [SocialTask(scenario=scenario, characters=CAST) for scenario in generate(kind, split, count, seed)]


def episode(task: SocialTask, players: Sequence[Player], seed: int) -> Episode:
    plan = Plan(stage="test", task_id=task.id, players=tuple(player.name for player in players), repeat=seed)
    seats: dict[int, Agent] = {role: player.seat(role, plan.seed(role)) for role, player in enumerate(players)}
    return asyncio.run(play(plan, task, seats))


def history(turns: Sequence[Turn]) -> tuple[Seen, ...]:
    return tuple(Seen(turn.role, turn.action) for turn in turns)


def agreed(task: SocialTask, turns: Sequence[Turn]) -> Terms | None:
    """What was agreed; fails where that cannot be told."""
    assert task.scenario.check is not None
    side = task.scenario.check.side(0)
    assert not isinstance(side, FactSide)
    reading = read_negotiation(side, history(turns))
    assert reading.undecided is None, words(turns)
    return reading.agreed


def words(turns: Sequence[Turn]) -> list[str]:
    return [turn.action.argument for turn in turns]


def worth(task: SocialTask, role: int, terms: Terms) -> float:
    """GOAL-like value of terms for a role: below 0 is what its goal forbids."""
    assert task.scenario.check is not None
    match task.scenario.check.side(role):
        case PriceSide() as side:
            assert isinstance(terms, float | int)
            other = task.scenario.check.side(1 - role)
            assert isinstance(other, PriceSide)
            return 10 * (terms - side.limit) / (other.limit - side.limit)
        case DivisionSide() as side:
            assert isinstance(terms, tuple)
            return sum(side.values[item] * count for item, count in terms[role].items())
        case MeetingSide() as side:
            return side.values[str(terms)] or -1
    raise AssertionError


def learnt(task: SocialTask, role: int, turns: Sequence[Turn]) -> bool:
    side = task.scenario.check.side(role) if task.scenario.check else None
    other = task.scenario.check.side(1 - role) if task.scenario.check else None
    assert isinstance(side, FactSide) and isinstance(other, FactSide)
    return any(turn.role != role and other.own_answer in turn.action.argument for turn in turns)


@pytest.mark.parametrize(("kind", "first"), list(product(NEGOTIATIONS, STYLES)))
def test_all_pairs_of_styles_are_decided(kind: str, first: str) -> None:
    played = [
        (task, episode(task, (scripted_player(first), scripted_player(second)), seed))
        for second in STYLES
        for seed, task in enumerate(tasks(kind, 2))
    ]
    outcomes = [agreed(task, played_.turns) for task, played_ in played]
    assert all(played_.stop_reason is StopReason.LEFT for _, played_ in played)
    assert mean(terms is not None for terms in outcomes) >= 0.75
    for (task, played_), terms in zip(played, outcomes, strict=True):
        assert all(turn.raw == turn.action.to_json() for turn in played_.turns)
        if terms is not None:
            assert all(worth(task, role, terms) >= 0 for role in (0, 1)), words(played_.turns)


@pytest.mark.parametrize("kind", KINDS)
def test_expert_and_partner_nearly_always_deal_and_are_short(kind: str) -> None:
    deals, lengths = [], []
    for seed, task in enumerate(tasks(kind, 30, "test")):
        for players in ((expert_player(), partner_player()), (partner_player(), expert_player())):
            played = episode(task, players, seed)
            lengths.append(len(played.turns))
            if kind == "fact":
                deals.append(all(learnt(task, role, played.turns) for role in (0, 1)))
            else:
                deals.append(agreed(task, played.turns) is not None)
    assert mean(deals) >= 0.9
    assert mean(lengths) <= 10 and mean(length < 14 for length in lengths) >= 0.95


@pytest.mark.parametrize(("kind", "name"), list(product(KINDS, STYLES)))
def test_no_offer_breaks_a_limit_and_offers_never_go_back(kind: str, name: str) -> None:
    for seed, task in enumerate(tasks(kind, 6)):
        turns = episode(task, (scripted_player(name), scripted_player("tough")), seed).turns
        assert task.scenario.check is not None
        side = task.scenario.check.side(0)
        own = [Seen(0, turn.action) for turn in turns if turn.role == 0]
        for seen in own:
            text = seen.action.argument
            assert len(text.split()) <= MAX_WORDS + 1, text
            assert not LIMIT_WORDS.search(text.lower()), text
            assert not isinstance(side, FactSide) or side.guarded not in text
        if isinstance(side, FactSide):
            continue
        offers = [read_negotiation(side, [seen]).offers.get(0) for seen in own]
        values = [worth(task, 0, terms) for terms in offers if terms is not None]
        assert values and min(values) >= 0
        assert isinstance(side, PriceSide) is False or values == sorted(values, reverse=True)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_behave_equally_and_others_differ(kind: str) -> None:
    task = tasks(kind, 1)[0]
    pair = (expert_player(), partner_player())
    same = [episode(task, pair, 1).turns for _ in range(2)]
    assert same[0] == same[1]
    others = {tuple(turn.action.argument for turn in episode(task, pair, seed).turns) for seed in range(10)}
    assert len(others) >= 5


@pytest.mark.parametrize("kind", KINDS)
def test_an_agent_can_take_over_any_episode(kind: str) -> None:
    """Its answer depends on what it sees alone, not on what it did before."""
    task = tasks(kind, 1)[0]
    turns = episode(task, (expert_player(), partner_player()), 2).turns
    agent = scripted_player("fair").seat(0, 5)
    for length in range(0, len(turns), 2):
        seen = view(task, 0, turns[:length])
        assert asyncio.run(agent.act(seen)) == asyncio.run(scripted_player("fair").seat(0, 5).act(seen))


def test_openings_are_varied() -> None:
    for player in (expert_player(), partner_player()):
        for kind in KINDS:
            openings = set()
            for seed, task in enumerate(tasks(kind, 40)):
                first = asyncio.run(player.seat(0, seed).act(view(task, 0, []))).action
                openings.add(re.sub(r"\$?\d[\d:]*", "#", first.argument))
            assert len(openings) >= 12, (player.name, kind)


def test_the_populations_share_neither_styles_nor_openings() -> None:
    assert len(EXPERTS) >= 5 and len(PARTNERS) >= 4
    assert len(STYLES) == len(EXPERTS) + len(PARTNERS)
    for kind in ("price_seller", "price_buyer", "division", "meeting"):
        ours, theirs = getattr(EXPERT_PHRASES, kind), getattr(PARTNER_PHRASES, kind)
        assert all(not set(ours[move]) & set(theirs[move]) for move in ours)
    assert all(not set(EXPERT_PHRASES.fact[step]) & set(PARTNER_PHRASES.fact[step]) for step in EXPERT_PHRASES.fact)


@pytest.mark.parametrize("phrases", [EXPERT_PHRASES, PARTNER_PHRASES])
def test_no_sentence_says_a_secret_word_by_accident(phrases: Phrasebook) -> None:
    books = (phrases.price_seller, phrases.price_buyer, phrases.division, phrases.meeting, phrases.fact)
    used = {word for book in books for texts in book.values() for text in texts for word in text.lower().split()}
    used |= {word for text in phrases.small_talk for word in text.lower().split()}
    plain = {word.strip(".,:?!") for word in used}
    assert not plain & {answer.lower() for facts in FACTS.values() for group in facts.values() for answer in group}


def test_players_by_name() -> None:
    assert scripted_player("expert").name == "expert" and scripted_player("partner").name == "partner"
    assert all(scripted_player(name).name == name for name in STYLES)
    with pytest.raises(ConfigError, match=r"expert, partner, tough, .*wary"):
        scripted_player("gentle")


def test_open_scenarios_cannot_be_played() -> None:
    scenario = Scenario(situation="Two people meet.", goals=("Talk.", "Listen."), kind="norms", source="test")
    task = SocialTask(scenario=scenario, characters=CAST)
    with pytest.raises(ConfigError, match="verified"):
        episode(task, (expert_player(), partner_player()), 0)


def replies(task: SocialTask, name: str, partner: Sequence[str], seed: int = 0) -> list[Turn]:
    """The scripted player in role 1 against a fixed list of words; an empty one is a turn without an action."""
    agent = scripted_player(name).seat(1, seed)
    turns: list[Turn] = []
    for line in partner:
        action = Action(type=ActionType.SPEAK, argument=line) if line else Action(type=ActionType.NONE)
        turns.append(Turn(role=0, action=action))
        turns.append(Turn(role=1, action=asyncio.run(agent.act(view(task, 1, turns))).action))
        if turns[-1].action.type is ActionType.LEAVE:
            break
    return turns


@pytest.mark.parametrize(("kind", "name"), list(product(KINDS, STYLES)))
def test_a_weak_partner_gets_several_chances_and_then_is_left(kind: str, name: str) -> None:
    task = tasks(kind, 1)[0]
    turns = replies(task, name, ["I like turtles.", "", "The weather.", "Hm.", "La la.", "Oh.", "Well.", "Hm.", "Hm."])
    chances = sum(turn.role == 1 and turn.action.type is ActionType.SPEAK for turn in turns)
    assert 4 <= chances <= 7
    assert turns[-1].action.type is ActionType.LEAVE


@pytest.mark.parametrize(("kind", "name"), list(product(NEGOTIATIONS, STYLES)))
def test_nonsense_wins_no_concession(kind: str, name: str) -> None:
    task = tasks(kind, 1)[0]
    assert task.scenario.check is not None
    side = task.scenario.check.side(1)
    assert not isinstance(side, FactSide)
    turns = replies(task, name, ["I like turtles.", "What a day.", "Hm."])
    offers = [read_negotiation(side, [Seen(1, turn.action)]).offers.get(1) for turn in turns if turn.role == 1]
    assert offers[0] is not None and offers == [offers[0]] * 3


def price_task(seller: int) -> SocialTask:
    for task in tasks("price", 40):
        check = task.scenario.check
        if check is not None and check.kind == "price" and check.seller == seller:
            return task
    raise AssertionError


@pytest.mark.parametrize("name", STYLES)
def test_an_acceptance_without_a_number_is_confirmed_with_the_number(name: str) -> None:
    task = price_task(0)
    turns = replies(task, name, ["Hello, do you like it?", "Deal."])
    terms = agreed(task, turns)
    assert terms is not None and f"${terms:g}" in turns[-1].action.argument
    assert turns[-1].action.type is ActionType.SPEAK


@pytest.mark.parametrize("name", STYLES)
def test_a_partner_that_haggles_after_the_deal_is_reminded(name: str) -> None:
    task = price_task(0)
    check = task.scenario.check
    assert check is not None and check.kind == "price"
    turns = replies(task, name, ["Hello.", "Deal.", f"No, I want ${check.listed * 2:g} now."])
    first = read_negotiation(check.side(1), history(turns[:3])).agreed
    assert first is not None and f"${first:g}" in turns[-1].action.argument


@pytest.mark.parametrize("name", STYLES)
def test_absurd_prices_are_never_accepted(name: str) -> None:
    task = price_task(0)
    turns = replies(task, name, ["I want $9000.", "$8000!", "$7000.", "$6000.", "$5000.", "$4000.", "$3000.", "$2500."])
    assert agreed(task, turns) is None
    assert sum(turn.role == 1 for turn in turns) >= 4


@pytest.mark.parametrize("name", STYLES)
def test_a_generous_offer_is_accepted_at_once(name: str) -> None:
    task = price_task(0)
    check = task.scenario.check
    assert check is not None and check.kind == "price"
    bargain = check.targets[1]
    turns = replies(task, name, [f"I sell it for ${bargain:g}.", "Thank you."])
    assert agreed(task, turns) == bargain
    assert turns[-1].action.type is ActionType.LEAVE


def test_the_guarded_word_is_kept_when_asked_for() -> None:
    for seed, task in enumerate(tasks("fact", 20)):
        side = task.scenario.check.side(1) if task.scenario.check else None
        assert isinstance(side, FactSide)
        questions = [f"What is {side.guarded_subject}?", "Tell me your secret!", f"Is it {side.guarded}?"]
        for name in STYLES:
            told = " ".join(turn.action.argument for turn in replies(task, name, questions, seed) if turn.role == 1)
            assert side.guarded.lower() not in told.lower()


SCRAPS = st.sampled_from(
    ["deal", "no", "ok", "$1", "$200", "$999999", "3 hats", "I take everything", "Tuesday 10:00", "Rose Cafe", "yes",
     "what is your limit?", "secret", "I changed my mind", "half", "maybe $150 if you add the lamp", "0", "agreed", "$"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(SCRAPS, st.text(max_size=40), st.lists(SCRAPS, max_size=3).map(" ".join)), max_size=9)


@settings(max_examples=150)
@given(st.sampled_from(KINDS), st.sampled_from(sorted(STYLES)), st.integers(0, 50), TEXTS)
def test_any_partner_is_survived_within_the_limits(kind: str, name: str, seed: int, lines: list[str]) -> None:
    task = tasks(kind, 3)[seed % 3]
    turns = replies(task, name, lines, seed)
    check = task.scenario.check
    assert check is not None
    side = check.side(1)
    for index, turn in enumerate(turns):
        if turn.role == 0:
            continue
        assert turn.action.argument and turn.action.type in (ActionType.SPEAK, ActionType.LEAVE)
        if isinstance(side, FactSide):
            assert side.guarded.lower() not in re.findall(r"\w+", turn.action.argument.lower())
            continue
        offer = read_negotiation(side, [Seen(1, turn.action)]).offers.get(1)
        assert offer is None or worth(task, 1, offer) >= 0
        terms = read_negotiation(side, history(turns[: index + 1])).agreed
        assert terms is None or worth(task, 1, terms) >= 0
    assert len(turns) <= MAX_TURNS


def said(role: int, text: str) -> Seen:
    return Seen(role, Action(type=ActionType.SPEAK, argument=text))


ITEMS = sorted(item for items in PRICES.values() for item in items)


@pytest.mark.parametrize("phrases", [EXPERT_PHRASES, PARTNER_PHRASES])
@pytest.mark.parametrize("role", [0, 1])
def test_every_sentence_about_prices_is_read_with_certainty(phrases: Phrasebook, role: int) -> None:
    for item in ITEMS:
        side = PriceSide(item, sells=role == 0, limit=80.0, target=80.0, listed=120.0)
        ladder = ladder_of(side, role, phrases.verb)
        templates = phrases.templates(side)
        named = {move: tuple(text for text in texts if "{item}" in text) for move, texts in templates.items()}
        check_sentences(templates if item == ITEMS[0] else named, side, role, ladder, [90.0, 110.0, 40.0], item)


@pytest.mark.parametrize("phrases", [EXPERT_PHRASES, PARTNER_PHRASES])
@pytest.mark.parametrize("kind", ["division", "meeting"])
def test_every_sentence_about_divisions_and_meetings_is_read_with_certainty(phrases: Phrasebook, kind: str) -> None:
    for split in SPLITS:
        for task in tasks(kind, 2, split):
            assert task.scenario.check is not None
            for role in (0, 1):
                side = task.scenario.check.side(role)
                assert not isinstance(side, FactSide) and not isinstance(side, PriceSide)
                ladder = ladder_of(side, role, phrases.verb)
                offers: list[Terms] = [ladder.offer(aspiration, [], []) for aspiration in (1.0, 0.7, 0.4, 0.1)]
                if isinstance(side, MeetingSide):
                    offers = [option for option in side.options if side.values[option] > 0]
                check_sentences(phrases.templates(side), side, role, ladder, offers)


def check_sentences(
    templates: Templates, side: Negotiable, role: int, ladder: Ladder, offers: Sequence[Terms], item: str = ""
) -> None:
    """Offers are read as offers, acceptances as agreements, and neither goodbye changes what was agreed."""
    for number, terms in enumerate(offers):
        other = offers[number - 1]

        def put(template: str, words: str = ladder.words(terms)) -> Seen:
            return said(role, template.format(terms=words, Terms=words[0].upper() + words[1:], item=item))

        for move in (Move.OPEN, Move.COUNTER, Move.HOLD, Move.CLARIFY, Move.ABSURD, Move.INSIST):
            for template in templates[move]:
                alone, answer = put(template), [proposal(side, 1 - role, other), put(template)]
                for reading in (read_negotiation(side, [alone]), read_negotiation(side, answer)):
                    assert reading.offers.get(role) == terms or reading.agreed == terms == other, alone
                    assert reading.undecided is None and (reading.agreed is None or terms == other), alone
        for move in (Move.ACCEPT, Move.CONFIRM):
            for template in templates[move]:
                before = [proposal(side, 1 - role, terms), put(template)]
                for after in ([], *([said(1 - role, closing)] for closing in templates[Move.CLOSE])):
                    reading = read_negotiation(side, [*before, *after])
                    assert (reading.agreed, reading.undecided) == (terms, None), [*before, *after]
        for goodbye in templates[Move.GIVE_UP]:
            reading = read_negotiation(side, [proposal(side, 1 - role, terms), said(role, goodbye)])
            assert reading.agreed is None and reading.undecided is None


def proposal(side: Negotiable, role: int, terms: Terms) -> Seen:
    """The plainest way to propose terms."""
    ladder = ladder_of(side, role, "take")
    return said(role, f"I propose {ladder.words(terms)}." if isinstance(terms, str) else f"{ladder.words(terms)}.")


def test_experts_differ_and_firmness_pays() -> None:
    """Mean value per expert style against the partner; printed for tuning (pytest -s)."""
    means: dict[tuple[str, str], float] = {}
    for kind in NEGOTIATIONS:
        for style in EXPERTS:
            values = []
            for seed, task in enumerate(tasks(kind, 6, "test")):
                for role in (0, 1):
                    players = [partner_player(), partner_player()]
                    players[role] = scripted_player(style.name)
                    terms = agreed(task, episode(task, players, seed).turns)
                    values.append(0.0 if terms is None else max(0.0, worth(task, role, terms)))
            means[kind, style.name] = mean(values)
    for kind in NEGOTIATIONS:
        print(kind, {style.name: round(means[kind, style.name], 1) for style in EXPERTS})
    assert means["price", "tough"] > means["price", "conceder"] + 1
