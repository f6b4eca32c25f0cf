"""Prompts: our own are many and different; published data sets are read as downloaded, bad rows listed by line."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sotopia_pi.environments import kinds as verified_kinds
from sotopia_pi.errors import WorldError
from sotopia_pi.world.generation import BadRows, Format, Prompt, builtin_prompts, draw, read_prompts
from sotopia_pi.world.generation.wording import gendered, named
from sotopia_pi.world.overlap import Limits, OverlapIndex, Text
from sotopia_pi.world.overlap_files import read_texts

SOCIAL_CHEMISTRY = (
    "area\tm\tsplit\trot-agree\trot-categorization\trot-moral-foundations\trot-char-targeting\trot-bad\trot-judgment"
    "\taction\taction-agency\taction-moral-judgment\taction-agree\taction-legal\taction-pressure"
    "\taction-char-involved\taction-hypothetical\tsituation\tsituation-short-id\trot\trot-id\trot-worker-id"
    "\tbreakdown-worker-id\tn-characters\tcharacters"
)
SOCIAL_IQA = '{"context": "%s", "question": "%s", "answerA": "left", "answerB": "stayed", "answerC": "sang"}'
NORMBANK = ",setting,behavior,setting-behavior,constraints,constraints_given,constraint_predict,norm,label,split"


def chemistry_row(situation: str, rule: str = "It is kind to ask.", bad: str = "0") -> str:
    fields = ["amitheasshole", "1", "train", "3", "advice", "care-harm", "char-0", bad, "kind", "asking", "agency", "1"]
    fields += [
        "3",
        "legal",
        "0",
        "char-0",
        "explicit",
        situation,
        "s/1",
        rule,
        "r/1",
        "7",
        "9",
        "2",
        "narrator|a guest",
    ]
    return "\t".join(fields)


def write(folder: Path, name: str, *lines: str | bytes) -> str:
    path = folder / name
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    return str(path)


def read(source: str, form: Format | None = None) -> tuple[list[Prompt], BadRows]:
    bad = BadRows()
    return list(read_prompts(source, form, bad)), bad


# Our own


def test_there_are_enough_prompts_of_our_own_and_no_two_alike() -> None:
    prompts = builtin_prompts()
    assert len(prompts) >= 300
    assert len({prompt.id for prompt in prompts}) == len(prompts)
    kinds = Counter(prompt.kind for prompt in prompts)
    assert len(kinds) >= 12
    assert min(kinds.values()) >= 15
    assert not kinds.keys() & set(verified_kinds())
    index = OverlapIndex(limits=Limits(run=5))
    for prompt in prompts:
        text = Text(prompt.text, (prompt.text,))
        assert index.find(text) is None, prompt.text
        index.add([text])
    assert list(OverlapIndex(read_texts("starter:test")).matches(Text(p.text, (p.text,)) for p in prompts)) == []


def test_our_prompts_are_short_and_lead_to_no_name_and_no_gender() -> None:
    for prompt in builtin_prompts():
        assert 5 <= len(prompt.text.split()) <= 25, prompt.text
        assert gendered(prompt.text) is None and named(prompt.text, ()) is None, prompt.text


# Published data sets


def test_social_chemistry(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "social-chem.tsv",
        SOCIAL_CHEMISTRY,
        chemistry_row("borrowing a tent and returning it wet"),
        chemistry_row("borrowing a tent and returning it wet", "Tents should be dried."),
        chemistry_row("leaving a boring party", "nonsense", bad="1"),
        "too\tfew\tcolumns",
        chemistry_row("  "),
        chemistry_row("whistling in a museum", ""),
    )
    prompts, bad = read(path)
    assert [prompt.text for prompt in prompts] == [
        "borrowing a tent and returning it wet (People say: It is kind to ask.)",
        "borrowing a tent and returning it wet (People say: Tents should be dried.)",
        "whistling in a museum",
    ]
    assert prompts[0].id == prompts[1].id  # the situation is what must not be used twice
    assert {prompt.kind for prompt in prompts} == {"social chemistry"}
    assert [(row.line, row.source) for row in bad.rows] == [(5, "social-chem.tsv"), (6, "social-chem.tsv")]
    assert "3 columns where the header has 25" in bad.rows[0].problem


def test_social_iqa(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "dev.jsonl",
        SOCIAL_IQA % ("Somebody lent a drill to the new tenant.", "Why was that?"),
        "{broken",
        '{"question": "What now?"}',
        '{"context": 4, "question": "x"}',
        "[]",
        "[" * 50_000,
        "",
        SOCIAL_IQA % ("A guest washed every plate.", "How would others feel?"),
    )
    prompts, bad = read(path)
    assert [prompt.text for prompt in prompts] == [
        "Somebody lent a drill to the new tenant. Why was that?",
        "A guest washed every plate. How would others feel?",
    ]
    assert [row.line for row in bad.rows] == [2, 3, 4, 5, 6]


def test_normbank(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "NormBank.csv",
        NORMBANK,
        "0,canteen,sing,\"canteen, sing\",\"role of person is 'cook' [AND] age of person is 'adult'\",x,y,expected,2,t",
        '1,"a tram, at night",eat soup,z,,x,y,,0,t',
        "2,,sing,z,,x,y,normal,1,t",
        "3,park,juggle,z",
    )
    prompts, bad = read(path)
    assert [prompt.text for prompt in prompts] == [
        "Where: canteen. What: sing. Who: role of person is 'cook' [AND] age of person is 'adult'. Norm: expected.",
        "Where: a tram, at night. What: eat soup. Norm: 0.",
    ]
    assert [row.line for row in bad.rows] == [4, 5]


def test_plain_text_and_the_byte_order_mark(tmp_path: Path) -> None:
    path = write(
        tmp_path, "notes.txt", b"\xef\xbb\xbfLending a ladder", "", "  Borrowing   a saw ", "...", b"caf\xe9", "a\x00b"
    )
    prompts, bad = read(path)
    assert [prompt.text for prompt in prompts] == ["Lending a ladder", "Borrowing a saw"]
    assert [(row.line, row.problem) for row in bad.rows] == [
        (4, "no words"),
        (5, "the line is not UTF-8 text"),
        (6, "control characters in the text"),
    ]


def test_the_same_note_has_one_id_whatever_its_case_and_spacing() -> None:
    one, two = (Prompt(text=text, kind="a", source=text, about=text) for text in ("Lending a saw", "lending  a SAW "))
    assert one.id == two.id


@pytest.mark.parametrize(
    ("form", "header", "missing"),
    [("social-chemistry", "area\trot", "situation"), ("normbank", "setting,norm", "behavior")],
)
def test_a_table_without_its_columns_is_refused(tmp_path: Path, form: Format, header: str, missing: str) -> None:
    with pytest.raises(WorldError, match=f"has no column {missing}.*--format"):
        read(write(tmp_path, "x.csv", header, "a"), form)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="cannot be read"):
        read(str(tmp_path / "none.txt"))
    with pytest.raises(WorldError, match="cannot be read"):
        read(str(tmp_path))


def test_enormous_files_and_lines_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as handle:
        handle.write(b"the first note\n")
        for _ in range(24):
            handle.write(b"x" * (1 << 20))
        handle.write(b"\nthe third note\n")
        for number in range(40_000):
            handle.write(f"note number {number} about borrowing things\n".encode())
    tracemalloc.start()
    chosen = draw([read_prompts(str(path), "text", bad := BadRows())], 1, lambda prompt: True, most=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert len(chosen) == 100
    assert [(row.line, "longer" in row.problem) for row in bad.rows] == [(2, True)]


def test_an_open_quote_costs_the_rows_it_swallows_and_no_others(tmp_path: Path) -> None:
    rows = [f'{n},hall,"sing {n}",z,,x,y,normal,1,t' for n in range(4_000)]
    rows[100] = '100,hall,"sing,z,,x,y,normal,1,t'
    prompts, bad = read(write(tmp_path, "n.csv", NORMBANK, *rows))
    assert [(row.line, "quotation mark is open" in row.problem) for row in bad.rows] == [(103, True)]
    assert len(prompts) == 3_998


def test_only_the_first_bad_rows_are_kept() -> None:
    bad = BadRows(most=2)
    for _ in range(5):
        list(read_prompts(str(Path(__file__).parent / "golden" / "system_friend.txt"), "social-iqa", bad))
    assert len(bad.rows) == 2 and bad.count > 5


@given(st.binary(max_size=300), st.sampled_from(["social-iqa", "text"]))
@settings(max_examples=60)
def test_no_content_breaks_the_readers(tmp_path_factory: pytest.TempPathFactory, content: bytes, form: Format) -> None:
    path = tmp_path_factory.mktemp("prompts") / "x"
    path.write_bytes(content)
    prompts, bad = read(str(path), form)
    assert len(prompts) + bad.count <= content.count(b"\n") + 1
    assert all(json.dumps(prompt.text) for prompt in prompts)


# Drawing


def notes(texts: Sequence[str]) -> list[Prompt]:
    return [Prompt(text=text, kind="k", source="s", about=text) for text in texts]


@given(st.lists(st.text("abc", min_size=1, max_size=3), max_size=20), st.integers(1, 8), st.integers(0, 5))
def test_the_draw_depends_on_seed_and_texts_only(texts: list[str], most: int, seed: int) -> None:
    drawn = [p.text for p in draw([notes(texts)], seed, lambda prompt: True, most)]
    assert drawn == [p.text for p in draw([notes(texts[::-1])], seed, lambda prompt: True, most)]
    assert drawn == [p.text for p in draw([notes(texts)], seed, lambda prompt: True, most + 3)][: len(drawn)]
    assert len(set(drawn)) == len(drawn) == min(most, len(set(texts)))


def test_sources_take_turns_and_used_prompts_are_left_out() -> None:
    one, two = notes([f"a{n}" for n in range(50)]), notes([f"b{n}" for n in range(3)])
    drawn = [p.text for p in draw([one, two], 7, lambda prompt: prompt != one[0].id, 100)]
    assert [text[0] for text in drawn[:8]] == list("abababaa")
    assert "a0" not in drawn and len(drawn) == 52
    assert drawn != [p.text for p in draw([one, two], 8, lambda prompt: prompt != one[0].id, 100)]
