"""`trimode revise` against a scripted server."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from trimode_client import Completion, Edit
from trimode_client.cli import revise
from trimode_client.cli.main import main

from tests.support.command import run
from tests.support.edit_answers import BEFORE, REVISED, sent, type_in, written
from tests.support.fake_server import LAST, Script

UNCHANGED = LAST | {"text_output": BEFORE, "edits": "[]"}
DIFF = "--- {0}\n+++ {0} (revised)\n@@ -1,2 +1,2 @@\n-def f:\n+def g:\n \treturn 1\n"


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
