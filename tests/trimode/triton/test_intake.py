"""Requests that wait for the chat template: in turn, not too many, and each is answered whatever happens."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

import pytest
from trimode.errors import CancelledError, OverloadedError
from trimode.scheduling.job import Claim
from trimode.triton.intake import Intake


def no_refusal(cause: Exception) -> None:
    raise AssertionError(cause)


def test_requests_are_queued_in_turn() -> None:
    made, found, done = Intake("the chat template"), list[int](), threading.Event()
    for number in range(5):
        made.put(lambda number=number: found.append(number), no_refusal)  # type: ignore[misc]
    made.put(done.set, no_refusal)
    assert done.wait(20)
    made.close()
    assert found == [0, 1, 2, 3, 4]


def test_what_waited_is_let_go_once_it_is_prepared() -> None:
    """A thread that waits for its next request holds none; a request may have pictures of many MiB."""

    class Files:
        """What a request brings."""

        def read(self) -> None:
            pass

    made, files = Intake("the pictures of others"), Files()
    gone = threading.Event()
    weakref.finalize(files, gone.set)
    made.put(files.read, no_refusal)
    del files
    assert gone.wait(60)
    made.close()


def held(made: Intake) -> threading.Event:
    """Keep the thread busy until the event that is returned is set."""
    began, go = threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        assert go.wait(60)

    made.put(hold, no_refusal, Claim("many"))
    assert began.wait(20)
    return go


def test_many_of_one_caller_do_not_keep_another_waiting() -> None:
    made, found, done = Intake("the grammars of others"), list[str](), threading.Event()
    go = held(made)
    for _ in range(60):
        made.put(lambda: found.append("many"), no_refusal, Claim("many"))
    made.put(lambda: found.append("one"), no_refusal, Claim("one"))
    made.put(lambda: found.append("urgent"), no_refusal, Claim("many", priority=-1))
    made.put(done.set, no_refusal, Claim("many", priority=1))
    go.set()
    assert done.wait(60)
    made.close()
    assert len(found) == 62
    assert found.index("one") <= 1, "the other caller's turn comes next"
    assert found.index("urgent") <= 1


def test_users_of_one_caller_take_turns() -> None:
    made, found, done = Intake("the grammars of others"), list[str](), threading.Event()
    go = held(made)
    for number in range(6):
        user = "a" if number < 5 else "b"
        made.put(lambda user=user: found.append(user), no_refusal, Claim("many", user))  # type: ignore[misc]
    made.put(done.set, no_refusal, Claim("many", priority=1))
    go.set()
    assert done.wait(60)
    made.close()
    assert found.index("b") <= 1


def test_the_caller_with_the_most_makes_room() -> None:
    made, causes, found = Intake("the grammars of others", places=3), list[Exception](), threading.Event()
    go = held(made)
    for _ in range(3):
        made.put(lambda: None, causes.append, Claim("many"))
    made.put(found.set, no_refusal, Claim("one"))
    assert [type(cause) for cause in causes] == [OverloadedError]
    assert "made room for a caller with fewer" in str(causes[0])
    with pytest.raises(OverloadedError):
        made.put(no_task, no_refusal, Claim("many"))
    go.set()
    assert found.wait(60)
    made.close()


def test_one_that_fails_is_refused_and_the_next_goes_on() -> None:
    made, causes, done = Intake("the chat template"), list[Exception](), threading.Event()

    def fail() -> None:
        raise ZeroDivisionError

    made.put(fail, causes.append)
    made.put(done.set, no_refusal)
    assert done.wait(20)
    made.close()
    assert [type(cause) for cause in causes] == [ZeroDivisionError]


def test_too_many_are_refused_and_those_that_wait_at_the_end_hear_of_it() -> None:
    made, causes = Intake("the chat template", places=2), list[Exception]()
    began, go = threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        assert go.wait(20)

    made.put(hold, no_refusal)
    assert began.wait(20)
    for _ in range(2):
        made.put(hold, causes.append)
    with pytest.raises(OverloadedError, match="2 requests wait for the chat template, as many as may; try again"):
        made.put(hold, causes.append)
    closing = threading.Thread(target=made.close)
    closing.start()
    while not made._closed:
        pass
    go.set()
    closing.join(20)
    assert [type(cause) for cause in causes] == [CancelledError] * 2


def test_one_that_waited_too_long_is_refused() -> None:
    made, causes = Intake("the grammars", most_seconds=0.0), list[Exception]()
    refused = threading.Event()

    def refuse(cause: Exception) -> None:
        causes.append(cause)
        refused.set()

    made.put(no_task, refuse)
    assert refused.wait(20)
    made.close()
    assert [type(cause) for cause in causes] == [OverloadedError]
    assert str(causes[0]).startswith("at most 0 s may be waited for the grammars")


def test_one_that_is_cancelled_leaves_its_place_at_once() -> None:
    """The thread is busy all the while, and the place is another's."""
    made, causes, done = Intake("the pictures of others", places=1), list[Exception](), threading.Event()
    leave = list[Callable[[], None]]()
    go = held(made)
    made.put(no_task, causes.append, Claim("one"), leave.append)
    with pytest.raises(OverloadedError):
        made.put(no_task, causes.append, Claim("one"))
    leave[0]()
    assert [str(cause) for cause in causes] == ["the request was cancelled"]
    made.put(done.set, no_refusal, Claim("one"), leave.append)
    go.set()
    assert done.wait(60)
    for one in leave:  # the wait is over
        one()
    made.close()
    assert len(causes) == 1


def no_task() -> None:
    raise AssertionError


def raises(cause: Exception) -> None:
    raise ConnectionError from cause


def fails() -> None:
    raise ZeroDivisionError


def test_what_comes_after_the_end_is_refused() -> None:
    made = Intake("the chat template")
    made.close()
    with pytest.raises(CancelledError, match="the server is stopping"):
        made.put(no_task, no_refusal)


def test_a_refusal_that_fails_is_logged_and_the_next_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    made, done = Intake("the chat template"), threading.Event()
    made.put(fails, raises)
    made.put(done.set, no_refusal)
    assert done.wait(20)
    made.close()
    assert "a request that waited could not be refused" in caplog.text and "ZeroDivisionError" in caplog.text


def test_a_refusal_of_what_makes_room_that_fails_keeps_no_other_out() -> None:
    made, found = Intake("the grammars of others", places=3), threading.Event()
    go = held(made)
    for _ in range(3):
        made.put(lambda: None, raises, Claim("many"))
    made.put(found.set, no_refusal, Claim("one"))
    go.set()
    assert found.wait(60)
    made.close()
