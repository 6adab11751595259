"""The log of TensorRT's errors: which are kept, how many, and that they are given once."""

from __future__ import annotations

from enum import Enum
from types import SimpleNamespace

from trimode.bundle.tensorrt_log import KEPT, error_log


class Severity(Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class Logger:
    Severity = Severity


TRT = SimpleNamespace(ILogger=Logger)


def test_errors_are_given_once_and_warnings_never() -> None:
    log = error_log(TRT)
    log.log(Severity.WARNING, "slow")
    log.log(Severity.ERROR, "no memory")
    log.log(Severity.INTERNAL_ERROR, "assertion")
    assert [log.words(), log.words()] == ["no memory; assertion", "no reason given"]


def test_the_last_errors_are_kept() -> None:
    log = error_log(TRT)
    for number in range(KEPT + 3):
        log.log(Severity.ERROR, str(number))
    assert log.words() == "; ".join(str(number) for number in range(3, KEPT + 3))
