"""`trimode infill` against a scripted server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode_client.cli.infill import split_at_marker
from trimode_client.cli.main import main

from tests.support.command import run
from tests.support.edit_answers import FILLED, sent, type_in, written
from tests.support.fake_server import LAST, Script

SEVERAL = LAST | {"text_output": "b\né", "fills": ["b\n", "é"]}
TRIED = json.dumps(
    [
        [
            {"size": 4, "mode": "autoregressive", "text": "x\n", "score": -1.5},
            {"size": 1, "mode": "diffusion", "text": "é\n", "score": -0.0001},
            {"size": 1, "mode": "autoregressive", "text": "é\n", "score": -0.25},
        ]
    ]
)


def test_infill_sends_both_files_byte_for_byte(left: str, right: str) -> None:
    fields = sent("infill", left, right)
    assert (fields["text_input"], fields["suffix"]) == ("déf\r\n\t", "\n  end")
    assert not {"exclude_input_in_output", "return_candidates"} & set(fields)


def test_infill_without_a_right_file_sends_an_empty_one(left: str) -> None:
    assert sent("infill", left)["suffix"] == ""


@pytest.mark.parametrize("at", [0, 1])
def test_either_side_may_come_from_standard_input(at: int, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    type_in(monkeypatch, "in\r\n")
    files = [left, left]
    files[at] = "-"
    fields = sent("infill", *files)
    assert fields[("text_input", "suffix")[at]] == "in\r\n"


def test_infill_prints_the_fill_alone(left: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Script(FILLED), "infill", left) == 0
    assert capsys.readouterr().out == "é\n\n"


def test_infill_prints_every_fill_on_a_line_as_json(left: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(SEVERAL), "infill", left)
    assert capsys.readouterr().out == '"b\\n"\n"é"\n'


def test_whole_prints_the_text_as_it_is(left: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = Script(FILLED | {"text_output": "déf é end"})
    run(script, "infill", left, "--whole")
    assert capsys.readouterr().out == "déf é end"
    assert script.requests[0]["exclude_input_in_output"] is False


def test_candidates_are_a_table_by_size_that_marks_what_was_kept(left: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = Script(FILLED | {"infill_candidates": TRIED})
    run(script, "infill", left, "--candidates")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["gap", "tokens", "score", "mode", "text"],
        ["1", "1", "0.000", "*", "diffusion", r'"é\n"'],
        ["1", "1", "-0.250", "autoregressive", r'"é\n"'],
        ["1", "4", "-1.500", "autoregressive", r'"x\n"'],
    ]
    assert script.requests[0]["return_candidates"] is True


def test_a_candidate_that_was_not_scored_has_no_score(left: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = Script(FILLED | {"infill_candidates": '[[{"size":3,"mode":"diffusion","text":"a","score":null}]]'})
    run(script, "infill", left, "--candidates")
    assert capsys.readouterr().out.splitlines()[1].split() == ["1", "3", "diffusion", '"a"']


def test_infill_prints_json(left: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(FILLED | {"infill_candidates": TRIED}), "infill", left, "--json")
    shown = json.loads(capsys.readouterr().out)
    assert shown["fills"] == ["é\n"]
    assert shown["candidates"][0][0] == {"size": 4, "mode": "autoregressive", "text": "x\n", "score": -1.5}


def test_every_hole_is_a_gap(tmp_path: Path) -> None:
    fields = sent("infill", written(tmp_path / "a", "[[fill]]b[[fill:12]]c"), "--hole", "[[fill]]")
    assert json.loads(fields["segments"]) == ["", {}, "b", {"infill_tokens": 12}, "c"]


def test_a_single_hole_has_a_left_and_a_right_side(tmp_path: Path) -> None:
    fields = sent("infill", written(tmp_path / "a", "a\r\n@@ b"), "--hole", "@@", "--length", "2", "--length", "4")
    assert (fields["text_input"], fields["suffix"], fields["infill_lengths"]) == ("a\r\n", " b", [2, 4])


@pytest.mark.parametrize(
    ("text", "marker", "segments"),
    [
        ("a[[fill]]b", "[[fill]]", ["a", {}, "b"]),
        ("a[[fill:3]]b", "[[fill]]", ["a", {"infill_tokens": 3}, "b"]),
        ("a{:>3}{}b", "{}", ["a{:>3}", {}, "b"]),
        ("<M:7><M>", "<M>", ["", {"infill_tokens": 7}, "", {}, ""]),
        ("x = ___:5", "___", ["x = ", {}, ":5"]),
        ("a)b", ")", ["a", {}, "b"]),
        ("a.b", ".", ["a", {}, "b"]),
    ],
)
def test_a_text_is_split_at_its_marker(text: str, marker: str, segments: list[Any]) -> None:
    assert split_at_marker(text, marker) == segments


def test_an_instruction_goes_with_two_sides_and_with_many_gaps(left: str, right: str, tmp_path: Path) -> None:
    fields = sent("infill", left, right, "--instruction", "Write.")
    assert (fields["instruction"], fields["text_input"], fields["suffix"]) == ("Write.", "déf\r\n\t", "\n  end")
    fields = sent("infill", written(tmp_path / "a", "@@b[f:3]"), "--hole", "@@", "--instruction", "Write.")
    assert (fields["instruction"], fields["text_input"], fields["suffix"]) == ("Write.", "", "b[f:3]")
    fields = sent("infill", written(tmp_path / "a", "@@b@@"), "--hole", "@@", "--instruction", "Write.")
    assert (fields["instruction"], json.loads(fields["segments"])) == ("Write.", ["", {}, "b", {}, ""])


@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        ("a", ("b.py", "--hole", "x"), "--hole takes one file, which holds the text on both sides"),
        ("a", ("--hole", "[[fill]]"), "{0} holds no [[fill]]"),
        ("a[[fill:x]]", ("--hole", "[[fill]]"), "[[fill:x]] must have a number of tokens as its size"),
        ("a[[fill:]]", ("--hole", "[[fill]]"), "[[fill:]] must have a number of tokens as its size"),
        ("a", ("--hole", ""), "--hole must not be empty"),
        ("a", ("no/such/file",), "no/such/file cannot be read: No such file or directory"),
        ("a", ("--infill-tokens", "0"), "invalid_value: infill_tokens must be between 1 and"),
        ("[f:9999]", ("--hole", "[f]"), "invalid_value: infill_tokens must be between 1 and"),
        (b"caf\xe9", (), "{0} must be valid UTF-8"),
    ],
)
def test_what_infill_cannot_take_is_one_line_and_code_2(
    text: str | bytes, arguments: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = written(tmp_path / "a", text)
    assert main(["infill", name, *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("trimode: " + told.format(name))
    assert err.count("\n") == 1


def test_standard_input_is_one_side_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infill", "-", "-"]) == 2
    assert "only one of the two texts can come from standard input" in capsys.readouterr().err
