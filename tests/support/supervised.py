"""One supervised server, which is a fake: the real engine cannot be made to deadlock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from trimode.errors import ServeError
from trimode.metrics import INSTANCE, PASSES, RUNNING, Metric
from trimode.server import liveness, supervisor
from trimode.server.gate import Gate
from trimode.server.liveness import Liveness
from trimode.server.process import Fault
from trimode.server.supervisor import Supervisor

CANARY_SECONDS = 0.03
DEAD = Fault("the backend process 5 died")
MALFORMED = (" many", "", '{instance="a', "{instance=a} 1", "} 1", '{instance="a",instance="b"} 1', "\t\tTe\\{, ={\\}")
EXIT_SECONDS = 0.02
DEADLINE_SECONDS = 120.0  # for a whole run, on a machine that is busy with something else


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the supervisor look and wait for milliseconds."""
    for name in ("PROCESS", "PROGRESS", "IDLE", "START_POLL", "RETRY", "LAST_WORDS"):
        monkeypatch.setattr(liveness, f"{name}_SECONDS", 0.002)
    for name in ("DRAIN_POLL", "LAST_ANSWERS", "FIRST_PAUSE"):
        monkeypatch.setattr(supervisor, f"{name}_SECONDS", 0.002)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE_SECONDS", 0.004)


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
    """A process that runs until it is killed."""

    def __init__(self) -> None:
        self.killed = False
        self.ill: Fault | None = None

    def find_stubs(self) -> None:
        """There are none."""

    def fault(self) -> Fault | None:
        return self.ill

    async def kill(self) -> None:
        self.killed = True


OK = Answer(200, b"{}")


class Run:
    """One supervised engine; `after_start` is called with it each time that it has become ready. A start heals it."""

    def __init__(
        self,
        engine: Engine,
        after_start: Callable[[Run], None],
        ready_seconds: float = 5.0,
        exit_seconds: float = EXIT_SECONDS,
    ) -> None:
        self.engine = engine
        self._healthy = engine.answer
        self.processes: list[Process] = []
        self.ready = 0
        self.error = ""
        self.requests = 0  # that have no answer
        self.gate = Gate()
        self._after_start = after_start
        self._exit_seconds = exit_seconds
        asyncio.run(asyncio.wait_for(self._run(ready_seconds), DEADLINE_SECONDS))

    async def _run(self, ready_seconds: float) -> None:
        client: Any = self.engine
        self.liveness = Liveness(client, client, ready_seconds=ready_seconds, canary_seconds=CANARY_SECONDS)
        self.supervisor = Supervisor(self._start, self.liveness, self._exit_seconds, self.gate)
        try:
            await self.supervisor.run(self._on_ready, lambda: self.requests)
        except ServeError as exc:
            self.error = str(exc)

    async def _start(self) -> Any:
        self.engine.answer = self._healthy
        self.processes.append(Process())
        return self.processes[-1]

    async def _on_ready(self) -> None:
        self.ready += 1
        self._after_start(self)

    def stop_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.supervisor.stop)
