"""How a supervised server ends in order: at a stop, and where a successor takes its place."""

from __future__ import annotations

import asyncio

import pytest
from trimode.server import supervisor

from tests.support.supervised import DEAD, OK, Engine, Run, hurry


@pytest.fixture(autouse=True)
def intervals_of_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


def test_a_stop_in_order_ends_with_the_server() -> None:
    run = Run(Engine(OK), lambda run: run.supervisor.stop())
    assert run.error == ""
    assert not run.supervisor.alive


def test_requests_that_run_may_finish(caplog: pytest.LogCaptureFixture) -> None:
    def after_start(run: Run) -> None:
        run.requests = 1
        run.supervisor.stop()
        asyncio.get_running_loop().call_later(0.005, setattr, run, "requests", 0)

    Run(Engine(OK), after_start, exit_seconds=3600)
    said = caplog.text
    assert "stopping: 1 requests may finish within 3600 s" in said
    assert "cut off" not in said


def test_requests_that_run_for_too_long_are_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    def after_start(run: Run) -> None:
        run.requests = 2
        run.supervisor.stop()

    run = Run(Engine(OK), after_start)
    assert run.processes[0].killed
    assert "2 requests were cut off" in caplog.text


def test_a_second_stop_waits_for_nobody() -> None:
    def after_start(run: Run) -> None:
        run.requests = 1
        run.supervisor.stop()
        run.supervisor.stop()

    assert Run(Engine(OK), after_start, exit_seconds=3600).processes[0].killed


def test_a_successor_starts_once_nothing_runs_and_new_requests_wait_until_it_serves() -> None:
    seen: list[tuple[str, bool, bool]] = []

    def after_start(run: Run) -> None:
        seen.append(("ready", run.gate.closed, run.processes[0].killed))
        if run.ready == 2:
            run.stop_in(0.05)
            return
        run.requests = 1
        loop = asyncio.get_running_loop()

        def once_new_requests_wait() -> None:
            if not run.gate.closed:
                loop.call_later(0.01, once_new_requests_wait)
                return
            seen.append(("runs", run.gate.closed, run.processes[0].killed))
            loop.call_later(0.05, lambda: setattr(run, "requests", 0))

        loop.call_later(0.01, run.supervisor.renew)
        once_new_requests_wait()

    run = Run(Engine(OK), after_start)
    assert seen == [("ready", False, False), ("runs", True, False), ("ready", True, True)]
    assert (len(run.processes), run.gate.closed, run.error) == (2, False, "")


def test_a_server_that_dies_before_its_successor_is_replaced_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    def after_start(run: Run) -> None:
        if run.ready == 2:
            run.supervisor.stop()
            return
        run.requests = 1
        run.supervisor.renew()
        asyncio.get_running_loop().call_later(0.05, lambda: setattr(run.processes[0], "ill", DEAD))

    run = Run(Engine(OK), after_start)
    assert (run.ready, run.gate.closed) == (2, False)
    assert "restart 1 in 0 s" in caplog.text


def test_a_successor_that_is_asked_for_during_a_restart_is_not_overtaken_by_new_requests() -> None:
    seen: list[bool] = []

    class Renewing(Run):
        async def _on_ready(self) -> None:
            await super()._on_ready()
            if self.ready == 2:
                self.requests = 1  # has an error that its caller has yet to take
                self.supervisor.renew()
                while not self.gate.closed:
                    await asyncio.sleep(0.001)
                asyncio.get_running_loop().call_later(0.02, self._finish)

        def _finish(self) -> None:
            seen.append(self.gate.closed)
            self.requests = 0

    def after_start(run: Run) -> None:
        if run.ready == 1:
            run.processes[0].ill = DEAD
        elif run.ready == 3:
            run.stop_in(0.05)

    run = Renewing(Engine(OK), after_start)
    assert (seen, run.ready, len(run.processes), run.gate.closed) == ([True], 3, 3, False)


def test_another_bundle_ends_the_pause_of_a_server_that_fails_and_is_started_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 3600)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE_SECONDS", 3600)

    def after_start(run: Run) -> None:
        if run.ready == 3:
            run.stop_in(0.1)  # a start too many would follow at once
            return
        run.processes[-1].ill = DEAD
        if run.ready == 2:  # the second failure in a row has a pause
            asyncio.get_running_loop().call_later(0.05, run.supervisor.renew)

    run = Run(Engine(OK), after_start)
    assert (run.ready, len(run.processes), run.gate.closed, run.error) == (3, 3, False, "")


def test_a_stop_while_a_successor_is_awaited_lets_what_runs_finish(caplog: pytest.LogCaptureFixture) -> None:
    killed: list[bool] = []

    def after_start(run: Run) -> None:
        run.requests = 1
        loop = asyncio.get_running_loop()

        def finish() -> None:
            killed.append(run.processes[0].killed)
            run.requests = 0

        def stop() -> None:
            run.supervisor.stop()
            loop.call_later(0.02, finish)

        run.supervisor.renew()
        loop.call_later(0.05, stop)

    run = Run(Engine(OK), after_start, exit_seconds=3600)
    assert (run.ready, len(run.processes), run.gate.closed) == (1, 1, False)
    assert killed == [False] and "cut off" not in caplog.text
