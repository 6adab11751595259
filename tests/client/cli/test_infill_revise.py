"""`trimode infill` and `trimode revise` against a scripted server."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from trimode_client import Completion, Edit
from trimode_client.cli import revise
from trimode_client.cli.infill import split_at_marker
from trimode_client.cli.knobs import given_knobs
from trimode_client.cli.main import main, parser
from trimode_client.request import KNOBS

from tests.client.cli.command import run
from tests.support.fake_server import LAST, Script

BEFORE = "def f:\n\treturn 1\n"
FILLED = LAST | {"text_output": "é\n", "fills": "é\n", "effective_params": '{"mode":"diffusion"}'}
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
REVISED = LAST | {
    "text_output": "def g:\n\treturn 1\n",
    "edits": '[{"start":4,"end":5,"before":"f","after":"g"}]',
    "effective_params": '{"mode":"diffusion"}',
}
UNCHANGED = LAST | {"text_output": BEFORE, "edits": "[]"}
DIFF = "--- {0}\n+++ {0} (revised)\n@@ -1,2 +1,2 @@\n-def f:\n+def g:\n \treturn 1\n"


@pytest.fixture
def left(tmp_path: Path) -> str:
    return written(tmp_path / "left.py", "déf\r\n\t")


@pytest.fixture
def right(tmp_path: Path) -> str:
    return written(tmp_path / "right.py", "\n  end")


@pytest.fixture
def code(tmp_path: Path) -> str:
    return written(tmp_path / "code.py", BEFORE)


def written(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def sent(*arguments: str) -> dict[str, Any]:
    script = Script(REVISED if arguments[0] == "revise" else FILLED)
    assert run(script, *arguments) == 0
    fields: dict[str, Any] = script.requests[0]
    return fields


# -- infill ------------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("command", ["infill", "revise"])
def test_stats_go_to_standard_error(command: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(REVISED), command, code, "--stats")
    assert "diffusion: 3 tokens, 2 forwards" in capsys.readouterr().err


def test_stats_begin_a_line_of_their_own(left: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(FILLED | {"text_output": "no end"}), "infill", left, "--whole", "--stats")
    assert capsys.readouterr().err.startswith("\ndiffusion: 3 tokens")
    run(Script(REVISED), "revise", code, "--stats")
    assert capsys.readouterr().err.startswith("diffusion: 3 tokens")


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


# -- revise ------------------------------------------------------------------------------------------------------------


def test_revise_sends_the_file_byte_for_byte(left: str) -> None:
    assert sent("revise", left)["text"] == "déf\r\n\t"


def test_revise_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    type_in(monkeypatch, "a\r\n")
    assert sent("revise", "-")["text"] == "a\r\n"


def test_spans_and_instruction_are_sent(code: str) -> None:
    fields = sent("revise", code, "--span", "0:3", "--span", "4:9", "--instruction", "Write.")
    assert (fields["spans"], fields["instruction"]) == ("[[0, 3], [4, 9]]", "Write.")


def test_revise_prints_the_text_as_it_is(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(REVISED), "revise", code)
    assert capsys.readouterr() == (REVISED["text_output"], "")


def test_a_diff_is_one_that_patch_takes(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(REVISED), "revise", code, "--show", "diff")
    assert capsys.readouterr().out == DIFF.format(code)


def test_a_diff_marks_a_missing_last_line_end() -> None:
    lines = list(revise.diff("a\nb", "a\nc", "n"))
    assert lines[-2:] == ["-b\n\\ No newline at end of file\n", "+c\n\\ No newline at end of file\n"]


def test_a_diff_has_lines_at_line_feeds_only() -> None:
    assert list(revise.diff("a\x0cb\n", "a\x0cc\n", "n"))[-2:] == ["-a\x0cb\n", "+a\x0cc\n"]


def test_a_diff_is_in_colour_on_a_terminal() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, color_system="standard", highlight=False, soft_wrap=True)
    revise.show("diff", "n", "a\n", Completion("b\n", "stop", 1, 1, edits=(Edit(0, 1, "a", "b"),)), console)
    assert "\x1b[31m-a" in shown.getvalue()
    assert "\x1b[32m+b" in shown.getvalue()


def test_edits_are_a_line_each(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(REVISED), "revise", code, "--show", "edits")
    assert capsys.readouterr().out == '4:5 "f" -> "g"\n'


def test_revise_prints_json(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(REVISED), "revise", code, "--json")
    assert json.loads(capsys.readouterr().out)["edits"] == [{"start": 4, "end": 5, "before": "f", "after": "g"}]


def test_in_place_writes_the_file_and_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = written(tmp_path / "a", "ax\r\n")
    run(Script(REVISED | {"text_output": "é\r\n"}), "revise", name, "--in-place")
    assert Path(name).read_bytes() == "é\r\n".encode()
    assert capsys.readouterr().out == ""


def test_in_place_may_show_the_diff_too(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(REVISED), "revise", code, "--in-place", "--show", "diff")
    assert capsys.readouterr().out == DIFF.format(code)
    assert Path(code).read_text() == REVISED["text_output"]


@pytest.mark.parametrize("show", ["text", "diff", "edits"])
def test_nothing_changed_is_code_0_and_a_note(show: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Script(UNCHANGED), "revise", code, "--show", show) == 0
    assert capsys.readouterr() == (BEFORE if show == "text" else "", "nothing changed\n")


def test_in_place_leaves_a_file_alone_when_nothing_changed(code: str) -> None:
    Path(code).chmod(0o400)
    before = Path(code).stat().st_mtime_ns
    assert run(Script(UNCHANGED), "revise", code, "--in-place") == 0
    assert Path(code).stat().st_mtime_ns == before


def test_a_file_that_cannot_be_written_is_told(
    code: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert run(Script(REVISED), "revise", code, "--in-place") == 1
    assert capsys.readouterr().err == f"trimode: {code} cannot be written: Permission denied\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-", "--in-place"), "--in-place needs a file, not standard input"),
        (("no/such/file",), "no/such/file cannot be read"),
        ((__file__, "--span", "0:4", "--span", "2:6"), "invalid_value: spans must be in order and not overlap"),
        ((__file__, "--revise-rounds", "99"), "invalid_value: revise_rounds must be between 0 and 16"),
        ((__file__, "--accept", "never"), "invalid_value: accept must be one of likelihood, always"),
    ],
)
def test_what_revise_cannot_take_is_one_line_and_code_2(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["revise", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("trimode: " + told)
    assert err.count("\n") == 1


@pytest.mark.parametrize("span", ["3", "a:b", "-1:4", "1:2:3", ":"])
def test_a_span_is_two_numbers(span: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["revise", "a", f"--span={span}"])
    assert "must be START:END in characters" in capsys.readouterr().err


# -- both --------------------------------------------------------------------------------------------------------------


def flags(command: str) -> set[str]:
    """The knobs that a command has flags for."""
    return vars(parser().parse_args([command, "a"])).keys() & set(KNOBS)


def test_each_command_has_the_flags_of_its_own_operation() -> None:
    of_one = {name: flags(name) for name in ("generate", "infill", "revise")}
    assert {"infill_tokens", "infill_lengths"} <= of_one["infill"] - of_one["generate"] - of_one["revise"]
    assert {"spans"} <= of_one["revise"] - of_one["generate"] - of_one["infill"]
    assert {"instruction"} <= of_one["infill"] & of_one["revise"] - of_one["generate"]
    assert {"accept", "revise_rounds"} <= of_one["revise"] & of_one["generate"] - of_one["infill"]
    assert {"stop_words", "mode", "draft_adapter"} <= of_one["generate"] - of_one["infill"] - of_one["revise"]
    assert {"temperature", "seed", "denoise_steps"} <= of_one["generate"] & of_one["infill"] & of_one["revise"]


@pytest.mark.parametrize("command", ["infill", "revise"])
def test_a_flag_not_given_leaves_the_field_out(command: str) -> None:
    assert given_knobs(parser().parse_args([command, "a"])) == {}
