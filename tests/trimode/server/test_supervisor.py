"""When the supervisor calls a server ill, and what it does then."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from trimode.errors import ExhaustedError
from trimode.metrics import PASSES, RUNNING
from trimode.server import supervisor
from trimode.server.process import Fault

from tests.support.supervised import CANARY_SECONDS, DEAD, MALFORMED, OK, Answer, Engine, Run, hurry, lines


@pytest.fixture(autouse=True)
def intervals_of_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def test_a_stuck_engine_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    def after_start(run: Run) -> None:
        if run.ready == 1:
            run.engine.answer = None
        else:
            run.supervisor.stop()

    run = Run(Engine(OK), after_start)
    assert (run.ready, run.error) == (2, "")
    assert [process.killed for process in run.processes] == [True, True]
    said = r"the engine made no pass and answered nothing for \d+ s; its streams were ended, restart 1"
    assert re.search(said, caplog.text)


def test_an_engine_that_makes_passes_is_left_alone() -> None:
    def after_start(run: Run) -> None:
        run.engine.answer = None  # busy with others
        run.engine.rate = 1
        run.stop_in(10 * CANARY_SECONDS)

    run = Run(Engine(OK), after_start)
    assert (run.ready, len(run.processes), run.error) == (1, 1, "")


def test_an_engine_that_answers_is_left_alone() -> None:
    run = Run(Engine(OK), lambda run: run.stop_in(10 * CANARY_SECONDS))
    assert (run.ready, len(run.processes), run.error) == (1, 1, "")


def test_a_full_queue_of_a_slow_engine_is_no_fault() -> None:
    def after_start(run: Run) -> None:
        run.engine.answer = Answer(503, b'{"error":"overloaded: the queue is full"}')
        run.stop_in(5 * CANARY_SECONDS)

    run = Run(Engine(OK, seconds=CANARY_SECONDS / 2), after_start)  # stuck after 64 times that
    assert (run.ready, len(run.processes)) == (1, 1)


def test_a_full_queue_of_an_engine_that_makes_a_pass_now_and_then_is_no_fault() -> None:
    def after_start(run: Run) -> None:
        run.engine.answer = Answer(503, b'{"error":"overloaded: the queue is full"}')
        run.engine.rate = 1 / 4  # often the same at two looks
        run.stop_in(10 * CANARY_SECONDS)

    run = Run(Engine(OK), after_start)
    assert (run.ready, len(run.processes)) == (1, 1)


class Ending(Engine):
    """An engine whose tritonserver, once it has no `answer`, does not listen any more and hangs before its end."""

    @asynccontextmanager
    async def request(self, method: str, path: str, *args: object, silence: float) -> AsyncIterator[Answer]:
        if self.answer is None:
            raise ConnectionRefusedError("nobody listens")
        async with super().request(method, path, *args, silence=silence) as answer:
            yield answer


def test_a_server_that_does_not_listen_any_more_is_replaced_at_once(caplog: pytest.LogCaptureFixture) -> None:
    def after_start(run: Run) -> None:
        run.liveness.stuck_seconds = 3600
        if run.ready == 1:
            run.engine.answer = None
        else:
            run.supervisor.stop()

    run = Run(Ending(OK), after_start)
    assert (run.ready, run.error) == (2, "")
    assert "the engine made no pass and refused a connection; its streams were ended" in caplog.text


class Unreachable(Engine):
    """An engine that this process may have no files to ask; `asked` counts the tries."""

    reachable = True
    asked = 0

    @asynccontextmanager
    async def request(self, method: str, path: str, *args: object, silence: float) -> AsyncIterator[Answer]:
        self.asked += 1
        if not self.reachable:
            raise ExhaustedError("Too many open files")
        async with super().request(method, path, *args, silence=silence) as answer:
            yield answer


def test_an_engine_that_cannot_be_asked_is_left_alone() -> None:
    engine = Unreachable(OK)

    def after_start(run: Run) -> None:
        engine.reachable = False
        run.stop_in(10 * CANARY_SECONDS)

    run = Run(engine, after_start)
    assert (run.ready, len(run.processes), run.error) == (1, 1, "")
    assert engine.asked > 4


def test_an_engine_that_is_stuck_once_it_can_be_asked_again_is_replaced() -> None:
    engine = Unreachable(OK)

    def after_start(run: Run) -> None:
        if run.ready == 1:
            engine.reachable = False
            asyncio.get_running_loop().call_later(5 * CANARY_SECONDS, stick)
        else:
            run.supervisor.stop()

    def stick() -> None:
        engine.reachable, engine.answer = True, None

    run = Run(engine, after_start)
    assert (run.ready, run.error) == (2, "")


def test_a_first_token_that_cannot_be_asked_for_ends_the_start() -> None:
    class Loaded(Unreachable):
        @asynccontextmanager
        async def request(self, method: str, path: str, *args: object, silence: float) -> AsyncIterator[Answer]:
            self.reachable = path == "/v2/health/ready"
            async with super().request(method, path, *args, silence=silence) as answer:
                yield answer

    run = Run(Loaded(OK), lambda run: None)
    assert run.error == "the model was loaded, but Too many open files before it served"


@pytest.mark.parametrize("metrics", [b"", b"\xff", *(f"{PASSES.name}{rest}\n".encode() for rest in MALFORMED)])
def test_metrics_that_cannot_be_read_do_not_end_serve(metrics: bytes) -> None:
    run = Run(Engine(OK, metrics=metrics), lambda run: run.stop_in(5 * CANARY_SECONDS))
    assert (run.ready, len(run.processes), run.error) == (1, 1, "")


def test_the_first_token_has_what_is_left_of_the_start() -> None:
    run = Run(Engine(OK, seconds=5 * CANARY_SECONDS), lambda run: run.supervisor.stop())
    assert (run.ready, run.error) == (1, "")


def test_a_first_token_that_never_comes_ends_the_start() -> None:
    run = Run(Engine(), lambda run: None, ready_seconds=0.05)
    assert re.fullmatch(r"the model was loaded, but answered nothing for \d+ s before it served", run.error)
    assert len(run.processes) == 1


def test_a_first_token_that_is_an_error_ends_the_start_early() -> None:
    run = Run(Engine(Answer(500, b"engine_failed: no")), lambda run: None, ready_seconds=60)
    assert run.error == "the model was loaded, but answered 500 engine_failed: no before it served"


def test_a_process_that_dies_before_the_first_token_ends_the_start() -> None:
    class Dying(Run):
        async def _start(self) -> Any:
            process = await super()._start()
            asyncio.get_running_loop().call_later(CANARY_SECONDS, setattr, process, "ill", DEAD)
            return process

    run = Dying(Engine(), lambda run: None, ready_seconds=60)
    assert run.error == "the model was loaded, but the backend process 5 died before it served"


def test_an_engine_is_stuck_after_64_times_the_first_token() -> None:
    def after_start(run: Run) -> None:
        found.append(run.liveness.stuck_seconds)
        run.supervisor.stop()

    found: list[float] = []
    Run(Engine(OK, seconds=0.02), after_start)
    Run(Engine(OK), after_start)
    assert found[0] >= 64 * 0.02
    assert found[1] >= CANARY_SECONDS


def test_a_server_that_has_served_is_replaced_for_as_long_as_it_takes(caplog: pytest.LogCaptureFixture) -> None:
    def after_start(run: Run) -> None:
        if run.ready < 9:
            run.processes[-1].ill = DEAD
        else:
            run.supervisor.stop()

    run = Run(Engine(OK), after_start)
    assert (run.error, len(run.processes)) == ("", 9)
    assert "restart 8 in 0.004 s (failure 8 in a row)" in caplog.text


def test_no_files_for_another_process_is_no_reason_to_end() -> None:
    class Short(Run):
        async def _start(self) -> Any:
            if len(self.processes) == 1 and not self.requests:
                self.requests = 1
                raise OSError(24, "Too many open files")
            self.requests = 0
            return await super()._start()

    def after_start(run: Run) -> None:
        if run.ready == 1:
            run.processes[-1].ill = DEAD
        else:
            run.supervisor.stop()

    run = Short(Engine(OK), after_start)
    assert (run.error, run.ready) == ("", 2)


def test_no_files_for_the_first_process_ends_the_start() -> None:
    class Short(Run):
        async def _start(self) -> Any:
            raise OSError(24, "Too many open files")

    assert Short(Engine(OK), lambda run: None).error == "[Errno 24] Too many open files"


def test_pauses_between_restarts_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE_SECONDS", 30.0)
    assert [supervisor.backoff_seconds(count) for count in (1, 2, 3, 4, 9, 10**6)] == [0, 0.5, 1, 2, 30, 30]


def test_a_server_that_lived_long_starts_a_new_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def after_start(run: Run) -> None:
        if run.ready < 5:
            run.processes[-1].ill = DEAD
        else:
            run.supervisor.stop()

    monkeypatch.setattr(supervisor, "SETTLED_SECONDS", 0.0)
    Run(Engine(OK), after_start)
    assert "restart 4 in 0 s (failure 1 in a row)" in caplog.text


def test_a_process_stopped_for_a_moment_is_no_fault() -> None:
    def after_start(run: Run) -> None:
        process = run.processes[-1]
        process.ill = Fault("tritonserver 5 is stopped", may_recover=True)
        asyncio.get_running_loop().call_later(CANARY_SECONDS, setattr, process, "ill", None)
        run.stop_in(3 * CANARY_SECONDS)

    run = Run(Engine(OK), after_start)
    assert (len(run.processes), run.error) == (1, "")


def test_one_of_two_that_is_stuck_does_not_hide_behind_the_other(caplog: pytest.LogCaptureFixture) -> None:
    class Two(Engine):
        @asynccontextmanager
        async def request(self, method: str, path: str, *rest: object, silence: float) -> AsyncIterator[Answer]:
            self.passes += 1
            self.metrics = (lines(PASSES, a=self.passes, b=9) + lines(RUNNING, a=1, b=1)).encode()
            async with super().request(method, path, *rest, silence=silence) as answer:
                yield answer

    run = Run(Two(OK), lambda run: run.supervisor.stop() if run.ready == 2 else None)
    assert (run.ready, run.error) == (2, "")
    said = r"the engine of b made no pass for \d+ s while it had requests; its streams were ended"
    assert re.search(said, caplog.text)
