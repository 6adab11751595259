"""A run's bar and exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest
from trimode.errors import RequestError
from trimode_perf.common import progress as module
from trimode_perf.common.progress import MeasureError, Pace, progress, run


def test_without_a_terminal_the_end_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(4) as bar:
        bar.step("a part")
        bar.step("a part", 2)
        bar.step()
    assert capsys.readouterr().err == "a part: 100%\n"


def test_a_long_run_says_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    with progress() as bar:
        bar.at(0.25, "half of a half")
        bar.at(0.5)
    assert capsys.readouterr().err == "half of a half: 25%\nhalf of a half: 50%\n"


def test_on_a_terminal_there_is_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(2) as bar:
        bar.step("one")
        bar.at(2, "both")
    assert "both" in capsys.readouterr().err


def interrupt() -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return 0


def terminate() -> int:
    os.kill(os.getpid(), signal.SIGTERM)
    return 0


def refuse() -> int:
    raise RequestError("mode", "a mode", "fast")


def lack() -> int:
    raise FileNotFoundError("no such file")


def cannot() -> int:
    raise MeasureError("no tokenizer")


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("work", "status", "said"),
    [
        (lambda: 0, 0, ""),
        (lambda: 1, 1, ""),
        (interrupt, 130, "it: interrupted; nothing was written"),
        (terminate, 130, "it: interrupted; nothing was written"),
        (refuse, 1, "it: "),
        (lack, 1, "it: no such file"),
        (cannot, 1, "it: no tokenizer"),
    ],
)
def test_a_run_ends_with_its_status(
    work: Callable[[], int], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("it", work, RequestError) == status
    captured = capsys.readouterr()
    assert captured.err.startswith(said) and bool(captured.err) == bool(said)
    assert captured.out.startswith("it: ") == (not said)


@pytest.mark.parametrize("defect", [KeyError, ValueError, ImportError])
def test_a_defect_keeps_its_traceback(defect: type[Exception]) -> None:
    def work() -> int:
        raise defect("it")

    with pytest.raises(defect):
        run("it", work)


def test_an_interruption_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("it", interrupt, kept=lambda: "one part was written") == 130
    assert capsys.readouterr().err == "it: interrupted; one part was written\n"


def test_rounds_that_warm_up_have_numbers_below_one() -> None:
    assert list(Pace(0.0).rounds(3, warm_up=2)) == [-1, 0, 1, 2, 3]
