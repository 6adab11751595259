"""When the supervisor calls a server ill, and what it does then.

Fakes stand for the server here and nowhere else: the real engine cannot be made to deadlock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from trimode.errors import ServeError
from trimode.metrics import INSTANCE, PASSES, RUNNING, WAITING, Metric
from trimode.server import liveness, supervisor
from trimode.server.liveness import Activity, Liveness, Standstills
from trimode.server.process import Fault
from trimode.server.supervisor import RestartPolicy, Supervisor

CANARY_SECONDS = 0.03
DEAD = Fault("the backend process 5 died")
MALFORMED = (" many", "", '{instance="a', "{instance=a} 1", "} 1", '{instance="a",instance="b"} 1', "\t\tTe\\{, ={\\}")
POLICY = RestartPolicy(exit_seconds=0.02, max_failures=3)


@pytest.fixture(autouse=True)
def intervals_of_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROCESS", "PROGRESS", "IDLE", "START_POLL", "RETRY", "LAST_WORDS"):
        monkeypatch.setattr(liveness, f"{name}_SECONDS", 0.002)
    monkeypatch.setattr(supervisor, "KILL_SECONDS", 0.002)


def lines(metric: Metric, **values: float) -> str:
    """A metric as Triton writes it, by instance."""
    return "".join(f'{metric.name}{{{INSTANCE}="{name}"}} {value}\n' for name, value in values.items())


@dataclass
class Answer:
    status: int
    body: bytes

    async def read(self) -> bytes:
        return self.body


@dataclass
class Engine:
    """What the fake server does: `answer` a canary after `seconds`, and make `rate` passes at each look at them."""

    answer: Answer | None = None
    seconds: float = 0.0
    passes: float = 0.0
    rate: float = 0.0
    metrics: bytes | None = None

    @asynccontextmanager
    async def request(self, method: str, path: str, *_: object, silence: float) -> AsyncIterator[Answer]:
        if path == "/metrics":
            self.passes += self.rate
            text = lines(PASSES, it_0_0=int(self.passes)) + lines(RUNNING, it_0_0=1)
            yield Answer(200, text.encode() if self.metrics is None else self.metrics)
        elif path == "/v2/health/ready":
            yield Answer(200, b"")
        else:
            if self.answer is None or self.seconds > 0:
                async with asyncio.timeout(silence):
                    await asyncio.sleep(self.seconds if self.answer else 3600)
            assert self.answer is not None
            yield self.answer

    async def aclose(self) -> None:
        """Nothing is open."""


class Process:
    """A process that runs until it is killed, or until `terminate` when it is `obedient`."""

    def __init__(self, obedient: bool = True) -> None:
        self.obedient = obedient
        self.killed = False
        self.ill: Fault | None = None
        self._ended = asyncio.Event()

    def find_stubs(self) -> None:
        """There are none."""

    def fault(self) -> Fault | None:
        return self.ill

    def terminate(self) -> None:
        if self.obedient:
            self._ended.set()

    async def wait(self) -> None:
        await self._ended.wait()

    async def kill(self) -> None:
        self.killed = True


OK = Answer(200, b"{}")


class Run:
    """One supervised engine; `after_start` is called with it each time that it has become ready. A start heals it."""

    def __init__(
        self, engine: Engine, after_start: Callable[[Run], None], ready_seconds: float = 5.0, obedient: bool = True
    ) -> None:
        self.engine = engine
        self._healthy = engine.answer
        self.processes: list[Process] = []
        self.ready = 0
        self.error = ""
        self.obedient = obedient
        self._after_start = after_start
        asyncio.run(asyncio.wait_for(self._run(ready_seconds), 5))

    async def _run(self, ready_seconds: float) -> None:
        client: Any = self.engine
        self.liveness = Liveness(client, client, ready_seconds=ready_seconds, canary_seconds=CANARY_SECONDS)
        self.supervisor = Supervisor(self._start, self.liveness, POLICY)
        try:
            await self.supervisor.run(self._on_ready)
        except ServeError as exc:
            self.error = str(exc)

    async def _start(self) -> Any:
        self.engine.answer = self._healthy
        self.processes.append(Process(self.obedient))
        return self.processes[-1]

    def _on_ready(self) -> None:
        self.ready += 1
        assert self.supervisor.alive
        self._after_start(self)

    def stop_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.supervisor.stop)


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


def test_the_activity_of_several_instances() -> None:
    text = lines(PASSES, it_0_0=3, it_0_1=4) + lines(RUNNING, it_0_0=0, it_0_1=2) + lines(WAITING, it_0_0=1)
    activity = Activity.read(text)
    assert activity.passes == {"it_0_0": 3, "it_0_1": 4}
    assert activity.requests == {"it_0_0": 1, "it_0_1": 2}
    assert (activity.total_passes, activity.busy) == (7, True)


@pytest.mark.parametrize("rest", MALFORMED)
def test_a_broken_line_is_no_activity(rest: str) -> None:
    with pytest.raises(ValueError):
        Activity.read(f"{PASSES.name}{rest}\n")


def test_lines_of_other_metrics_are_not_read() -> None:
    other = f'# HELP {PASSES.name} Passes\n# TYPE {PASSES.name} counter\n{PASSES.name}_more{{a="b"}} 9\nother many\n'
    assert Activity.read(other + lines(PASSES, it_0_0=3)).passes == {"it_0_0": 3}


def test_no_activity() -> None:
    assert (Activity.read("").total_passes, Activity.read("").busy) == (None, False)


def test_an_instance_stands_still_from_its_last_pass_or_its_first_request() -> None:
    standstills = Standstills()

    def at(now: float, passes: int, requests: int) -> tuple[float, str]:
        return standstills.longest(Activity({"a": now, "b": passes}, {"a": 1, "b": requests}), now)

    assert at(1, passes=5, requests=0) == (0, "b")
    assert at(9, passes=5, requests=0) == (0, "b")  # idle is not still
    assert at(10, passes=5, requests=1) == (1, "b")
    assert at(12, passes=5, requests=1) == (3, "b")
    assert at(13, passes=6, requests=1) == (0, "b")


def test_one_instance_is_left_to_the_canary() -> None:
    standstills, activity = Standstills(), Activity({"a": 5}, {"a": 1})
    assert [standstills.longest(activity, now) for now in (0, 100)] == [(0, ""), (0, "")]


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
