"""`trimode watch` against a scripted server and on a terminal of our own."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from rich.console import Console
from trimode.api.answer import Provisional, ProvisionalToken, TokenState
from trimode_client import Piece
from trimode_client.cli import watch
from trimode_client.cli.main import main

from tests.support.fake_server import FIRST, LAST, STALL, Script, http_server

STATES: dict[str, TokenState] = {"c": "committed", "p": "provisional", "m": "masked"}


def block(states: str, *texts: str, start: int = 0, step: int = 1, committed: str = "") -> Provisional:
    tokens = [
        ProvisionalToken(7 if state != "m" else None, text, STATES[state])
        for state, text in zip(states, texts, strict=True)
    ]
    return Provisional(start, step, "".join(texts), tuple(tokens), committed)


def wire(told: Provisional) -> str:
    return json.dumps({**vars(told), "tokens": [vars(token) for token in told.tokens]})


SEEN: list[dict[str, Any]] = [
    {"text_output": "", "provisional": wire(block("pmp", "He", "░", "o\n"))},
    {**FIRST, "provisional": wire(block("ccp", "H", "el", "lo\n", step=2))},
    LAST,
]


def run(*arguments: str, steps: Sequence[object] = SEEN) -> tuple[int, dict[str, Any]]:
    script = Script(*steps)
    with http_server(script) as url:
        code = main(["watch", "hi", *arguments, "--url", url, "--protocol", "http"])
    return code, script.requests[0]


def test_a_pipe_gets_a_line_for_each_pass_then_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    code, asked = run()
    shown = capsys.readouterr()
    assert code == 0
    assert shown.out.splitlines() == ["    0   1  [He]░[o\\n]", "    0   2  Hel[lo\\n]", "Hello"]
    assert "3 tokens, 2 forwards" in shown.err
    assert (asked["mode"], asked["stream"], asked["stream_provisional"]) == ("diffusion", True, True)


def test_passes_that_come_together_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    together = {**FIRST, "provisional": [one["provisional"] for one in SEEN[:2]]}
    assert run("--stream-interval-ms", "33", steps=[together, LAST])[1]["stream_interval_ms"] == 33
    assert capsys.readouterr().out.splitlines() == ["    0   1  [He]░[o\\n]", "    0   2  Hel[lo\\n]", "Hello"]


def test_self_speculation_is_watched_when_asked_for() -> None:
    assert run("--mode", "self_speculation")[1]["mode"] == "self_speculation"


def test_json_is_a_line_for_each_piece(capsys: pytest.CaptureFixture[str]) -> None:
    run("--json")
    pieces = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [piece["text"] for piece in pieces] == ["", "Hel", "lo"]
    assert pieces[0]["provisional"]["tokens"][1] == {
        "id": None,
        "text": "░",
        "state": "masked",
        "prob": None,
    }
    assert pieces[2]["provisional"] is None


def test_a_mode_that_denoises_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--mode", "autoregressive")
    assert caught.value.code == 2
    assert "which denoise blocks that can be watched, got autoregressive" in capsys.readouterr().err


@pytest.mark.parametrize("delay", ["-1", "61", "nan", "soon"])
def test_a_delay_that_is_none_is_refused(delay: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--delay", delay)
    assert caught.value.code == 2 and "--delay" in capsys.readouterr().err


def test_leaving_early_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(pieces: Iterator[Piece]) -> list[str]:
        next(pieces)
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "lines", interrupted)
    script = Script(*SEEN[:1], STALL)
    with http_server(script) as url:
        assert main(["watch", "hi", "--url", url, "--protocol", "http"]) == 130
        assert script.left.wait(30)


# On a terminal


def terminal(height: int = 10, width: int = 20, colour: str | None = None) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system=colour, width=width, height=height)  # type: ignore[arg-type]


def drawn(committed: str, told: Provisional | None, console: Console) -> list[str]:
    return watch.frame(committed, told, console, "3 tokens").plain.splitlines()


def test_a_frame_is_the_committed_text_then_the_rest_of_the_block() -> None:
    told = block("cpm", "lo", " you", "░", start=4, step=2)
    assert drawn("Hello", told, terminal(width=60)) == ["Hello you░", "block at 4, pass 2; 3 tokens"]


def test_a_long_answer_shows_its_end() -> None:
    shown = drawn("".join(f"line {at}\n" for at in range(50)) + "last", None, terminal(height=6))
    assert shown == ["line 47", "line 48", "line 49", "last", "3 tokens"]


def test_states_differ_in_style_and_text_is_no_markup() -> None:
    shown = watch.frame("[red]a", block("pm", "[b]", "░"), terminal(width=40), "1 token")
    assert shown.plain.startswith("[red]a[b]░")
    assert {str(span.style) for span in shown.spans} >= {"yellow underline", "dim"}


def test_of_passes_that_come_together_the_last_is_drawn_where_it_still_stands() -> None:
    early, late = block("p", "early"), block("p", "late", start=2, committed="ab")
    for text, seen in (("ab", "late"), ("abc", "ab")):  # what came after the block is final
        console = terminal(width=40)
        watch.play([Piece(text, provisional=late, earlier=(early,))], console)
        written = console.file.getvalue()  # type: ignore[attr-defined]
        assert "2 passes" in written and seen in written and "early" not in written
        assert ("late" in written) is (text == "ab")


def test_a_terminal_is_never_told_what_the_model_says() -> None:
    console = terminal(width=40)
    shown = block("p", "\x07b\x9b", committed="\x1b[2Ja")
    pieces = [Piece("\x1b[2Ja", provisional=shown), Piece("", provisional=block("p", "\x1b]0;c"))]
    watch.play(pieces, console)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[2Ja" not in written and "\x07" not in written and "\x1b]0" not in written
    assert "\ufffd[2Ja" in written


def test_no_colour_gives_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    run()
    shown = capsys.readouterr()
    assert shown.out.startswith("    0   1  [He]░")
    assert "\x1b" not in shown.out + shown.err


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("FORCE_COLOR", "1")
    run()
    assert capsys.readouterr().out.startswith("    0   1  [He]░")
