"""When the supervisor calls a server ill, and what it does then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from trimode.metrics import PASSES, RUNNING
from trimode.server import liveness, supervisor
from trimode.server.process import Fault

from tests.support.supervised import CANARY_SECONDS, DEAD, MALFORMED, OK, POLICY, Answer, Engine, Run, lines


@pytest.fixture(autouse=True)
def intervals_of_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROCESS", "PROGRESS", "IDLE", "START_POLL", "RETRY", "LAST_WORDS"):
        monkeypatch.setattr(liveness, f"{name}_SECONDS", 0.002)
    monkeypatch.setattr(supervisor, "KILL_SECONDS", 0.002)


def test_a_stuck_engine_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    def after_start(run: Run) -> None:
        if run.ready == 1:
            run.engine.answer = None
        else:
            run.supervisor.stop()

    run = Run(Engine(OK), after_start)
    assert (run.ready, run.error) == (2, "")
    assert [process.killed for process in run.processes] == [True, True]
    assert "the engine made no pass and answered nothing for 0 s; its streams were ended, restart 1" in (
        capsys.readouterr().err
    )


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


@pytest.mark.parametrize("metrics", [b"", b"\xff", *(f"{PASSES.name}{rest}\n".encode() for rest in MALFORMED)])
def test_metrics_that_cannot_be_read_do_not_end_serve(metrics: bytes) -> None:
    run = Run(Engine(OK, metrics=metrics), lambda run: run.stop_in(5 * CANARY_SECONDS))
    assert (run.ready, len(run.processes), run.error) == (1, 1, "")


def test_the_first_token_has_what_is_left_of_the_start() -> None:
    run = Run(Engine(OK, seconds=5 * CANARY_SECONDS), lambda run: run.supervisor.stop())
    assert (run.ready, run.error) == (1, "")


def test_a_first_token_that_never_comes_ends_the_start() -> None:
    run = Run(Engine(), lambda run: None, ready_seconds=0.05)
    assert run.error == "the model was loaded, but answered nothing for 0 s before it served"
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
    assert CANARY_SECONDS <= found[1] < found[0]


def test_it_gives_up_after_failures_in_a_row() -> None:
    def after_start(run: Run) -> None:
        run.processes[-1].ill = DEAD

    run = Run(Engine(OK), after_start)
    assert run.error == "the backend process 5 died; giving up after 3 failures in a row"
    assert len(run.processes) == POLICY.max_failures


def test_a_server_that_lived_long_starts_a_new_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def after_start(run: Run) -> None:
        if run.ready <= 2 * POLICY.max_failures:
            run.processes[-1].ill = DEAD
        else:
            run.supervisor.stop()

    monkeypatch.setattr(supervisor, "SETTLED_SECONDS", 0.0)
    run = Run(Engine(OK), after_start)
    assert run.error == ""
    assert len(run.processes) == 2 * POLICY.max_failures + 1


def test_a_process_stopped_for_a_moment_is_no_fault() -> None:
    def after_start(run: Run) -> None:
        process = run.processes[-1]
        process.ill = Fault("tritonserver 5 is stopped", may_recover=True)
        asyncio.get_running_loop().call_later(CANARY_SECONDS, setattr, process, "ill", None)
        run.stop_in(3 * CANARY_SECONDS)

    run = Run(Engine(OK), after_start)
    assert (len(run.processes), run.error) == (1, "")


def test_a_stop_in_order_ends_with_the_server() -> None:
    run = Run(Engine(OK), lambda run: run.supervisor.stop())
    assert run.error == ""
    assert not run.supervisor.alive


def test_a_server_that_outlives_its_grace_is_killed(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(Engine(OK), lambda run: run.supervisor.stop(), obedient=False)
    assert run.error == ""
    assert run.processes[0].killed
    assert "tritonserver did not end within its exit timeout and is killed" in capsys.readouterr().err


def test_one_of_two_that_is_stuck_does_not_hide_behind_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    class Two(Engine):
        @asynccontextmanager
        async def request(self, method: str, path: str, *rest: object, silence: float) -> AsyncIterator[Answer]:
            self.passes += 1
            self.metrics = (lines(PASSES, a=self.passes, b=9) + lines(RUNNING, a=1, b=1)).encode()
            async with super().request(method, path, *rest, silence=silence) as answer:
                yield answer

    run = Run(Two(OK), lambda run: run.supervisor.stop() if run.ready == 2 else None)
    assert (run.ready, run.error) == (2, "")
    assert "the engine of b made no pass for 0 s while it had requests; its streams were ended" in (
        capsys.readouterr().err
    )
