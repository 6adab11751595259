"""How long a request's pictures may be worked on."""

from __future__ import annotations

import threading
import time

import pytest
from trimode.errors import CancelledError, DeadlineError
from trimode.vision.until import MOMENT, PICTURE_SECONDS, Until


def test_the_earlier_deadline_counts() -> None:
    now = time.monotonic()
    pictures, own = Until.of(now + PICTURE_SECONDS + 3600), Until.of(now + 1)
    assert now + PICTURE_SECONDS <= pictures.deadline < now + PICTURE_SECONDS + 3600 and not pictures.of_request
    assert own.deadline == now + 1 and own.of_request
    assert (pictures.limit, own.limit) == ("within 30 s in all", "within the request's timeout")


def test_what_is_over_is_said() -> None:
    Until.of().check()
    with pytest.raises(DeadlineError, match="must be ready within 30 s in all, and were not"):
        Until(time.monotonic() - 1).check()
    with pytest.raises(CancelledError):
        Until(time.monotonic() - 1, lambda: True).moment()
    assert 0 < Until.of().moment() <= MOMENT


def test_a_turn_that_does_not_come_is_not_waited_for_beyond_the_end() -> None:
    turn, looks = threading.Semaphore(1), iter((False, False, True))
    turn.acquire()
    with pytest.raises(CancelledError), Until.of(cancelled=lambda: next(looks)).holding(turn):
        raise AssertionError
    turn.release()
    with Until.of().holding(turn):
        assert not turn.acquire(blocking=False)
    assert turn.acquire(blocking=False)
