"""Keeps one tritonserver alive: notices a dead, stopped or stuck backend and replaces the whole server.

Triton 2.51 never restarts a dead stub, stays "ready", and leaves its streams hanging; a reload of the model does not
end them either. Killing the server does, at once, and costs 0.3 s more than a reload.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..api.tensors import CANARY_ID, ID, MODEL_NAME
from ..errors import OverloadedError, ServeError
from ..metrics import INSTANCE, PASSES, RUNNING, WAITING
from .backend_client import Upstream
from .process import Child

PROCESS_SECONDS = 0.25  # between looks at the processes
PROGRESS_SECONDS = 1.0  # between looks at the count of engine passes
IDLE_SECONDS = 10.0  # between canaries while nothing runs
SETTLED_SECONDS = 60.0  # a server that lived this long starts a new count of failures
KILL_SECONDS = 5.0  # after the exit timeout
START_POLL_SECONDS = 0.05  # between looks at a server that is loading
RETRY_SECONDS = 0.2  # between canaries that are answered with an error
LAST_WORDS_SECONDS = 0.5  # for a server to log why its backend died
READ_SECONDS = 2.0  # for an answer that needs no engine
CANARY = json.dumps({ID: CANARY_ID, "mode": "autoregressive", "input_ids": [0], "max_tokens": 1}).encode("ascii")
JSON = "application/json"
T = TypeVar("T")


@dataclass(frozen=True)
class Watch:
    """The supervisor's patience, in seconds, and how many failures in a row it takes.

    `canary_seconds` is the least time a stuck engine is given; one whose first token took long is given 64 times that.
    The first token itself has what is left of `ready_seconds`.
    """

    ready_seconds: float = 600.0
    canary_seconds: float = 10.0
    exit_seconds: float = 10.0
    max_failures: int = 5


@dataclass(frozen=True)
class Look:
    """What the metrics say at a moment: engine passes so far, and requests that run or wait, both by instance."""

    passes: Mapping[str, float]
    requests: Mapping[str, float]

    @classmethod
    def read(cls, text: str) -> Look:
        """Read Triton's metrics.

        Raises:
            ValueError: a value is not a number.
        """
        values: dict[str, dict[str, float]] = {}
        for metric in (PASSES, RUNNING, WAITING):
            lines = re.findall(rf'^{metric.name}(?:{{{INSTANCE}="([^"]*)"}})? (\S+)$', text, re.MULTILINE)
            values[metric.name] = {instance: float(value) for instance, value in lines}
        running, waiting = values[RUNNING.name], values[WAITING.name]
        requests = {name: running.get(name, 0) + waiting.get(name, 0) for name in running | waiting}
        return cls(values[PASSES.name], requests)

    @property
    def total(self) -> float | None:
        """Passes of all instances; None before there are any."""
        return sum(self.passes.values()) if self.passes else None

    @property
    def busy(self) -> bool:
        """Whether requests run or wait."""
        return any(self.requests.values())


class Standstills:
    """Since when each of several instances has had requests and made no pass.

    A canary goes to whichever instance Triton takes, so that one that is stuck would hide behind the others.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, float]] = {}  # passes, and when they were first seen

    def longest(self, look: Look, now: float) -> tuple[float, str]:
        """Return (seconds, instance) of the longest at `now`; (0, "") where there is one instance or none."""
        if len(look.passes) < 2:
            return 0.0, ""
        for name, passes in look.passes.items():
            if self._since.get(name, (-1.0, 0.0))[0] != passes or not look.requests.get(name):
                self._since[name] = passes, now
        return max((now - since, name) for name, (_, since) in self._since.items())


class Supervisor:
    """Starts, watches, replaces and stops the server; `alive` is what the guard answers to health checks."""

    def __init__(self, start: Callable[[], Awaitable[Child]], http: Upstream, metrics: Upstream, watch: Watch) -> None:
        self._start = start
        self._http = http
        self._metrics = metrics
        self._watch = watch
        self._patience = watch.canary_seconds
        self._stopping = asyncio.Event()
        self.alive = False

    def stop(self) -> None:
        """Let `run` end the server in order; what runs may finish, nothing new is let in."""
        self.alive = False
        self._http.close()
        self._metrics.close()
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until `stop`; `on_ready` is called after each start.

        Raises:
            ServeError: the server could not be started, or failed too often in a row.
        """
        failures = restarts = 0
        while True:
            began = time.monotonic()
            child = await self._start()
            try:
                fault = await self._serve(child, on_ready)
            except ServeError as exc:
                if failures == 0:
                    raise  # it never served; more of the same would not help
                fault = str(exc)
            finally:
                self.alive = False
                await child.kill()
            if fault is None:
                return
            settled = time.monotonic() - began > SETTLED_SECONDS
            failures = 1 if settled else failures + 1
            if failures >= self._watch.max_failures:
                raise ServeError(f"{fault}; giving up after {failures} failures in a row")
            restarts += 1
            log(f"{fault}; its streams were ended, restart {restarts} (failure {failures} in a row)")

    async def _serve(self, child: Child, on_ready: Callable[[], None]) -> str | None:
        """Return the fault that ended `child`, None when it was asked to stop."""
        watching = asyncio.create_task(self._follow(child, on_ready))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                return watching.result()
        finally:
            watching.cancel()
            stopping.cancel()
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), self._watch.exit_seconds + KILL_SECONDS)
        except TimeoutError:
            log("tritonserver outlived its exit timeout and is killed")
        return None

    async def _follow(self, child: Child, on_ready: Callable[[], None]) -> str:
        deadline = time.monotonic() + self._watch.ready_seconds
        await self._until_loaded(child, deadline)
        await self._until_answering(child, deadline)
        self.alive = True
        on_ready()
        return await _first(self._processes(child), self._progress())

    async def _until_loaded(self, child: Child, deadline: float) -> None:
        """Wait until Triton says that the model is ready.

        Raises:
            ServeError: it ended, its backend died, or it took too long.
        """
        while True:
            child.find_stubs()
            if fault := child.fault():
                await asyncio.sleep(LAST_WORDS_SECONDS)
                raise ServeError(f"{fault} before the model was ready; the lines above say why")
            if time.monotonic() > deadline:
                raise ServeError(f"the model was not ready after {self._watch.ready_seconds:.0f} s")
            status, _ = await self._ask("GET", "/v2/health/ready", b"", READ_SECONDS)
            if status == 200:
                return
            await asyncio.sleep(START_POLL_SECONDS)

    async def _until_answering(self, child: Child, deadline: float) -> None:
        """Wait for the first token, and learn from it how much patience this model needs.

        Raises:
            ServeError: there is none by the deadline, or only errors.
        """
        began = time.monotonic()
        if fault := await _first(self._processes(child), self._canary(deadline - began)):
            raise ServeError(f"the model was loaded, but {fault} before it served")
        self._patience = max(self._watch.canary_seconds, 64 * (time.monotonic() - began))

    async def _processes(self, child: Child) -> str:
        """Return the first fault of the processes; a stopped one has a second to go on."""
        suspect = 0
        while True:
            fault = child.fault()
            suspect = suspect + 1 if fault else 0
            if fault and (not fault.endswith("stopped") or suspect * PROCESS_SECONDS > 1.0):
                return fault
            await asyncio.sleep(PROCESS_SECONDS)

    async def _progress(self) -> str:
        """Return when the engine neither makes passes nor answers a canary in time, or one of several stands still."""
        last, seen = -1.0, 0.0
        standstills = Standstills()
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            look = await self._read_metrics()
            passes = None if look is None else look.total
            if look is not None:
                seconds, instance = standstills.longest(look, time.monotonic())
                if seconds > self._patience:
                    return f"the engine of {instance} made no pass for {seconds:.0f} s while it had requests"
            if passes is not None and passes != last:
                last, seen = passes, time.monotonic()
            elif look is None or passes is None or look.busy or time.monotonic() - seen >= IDLE_SECONDS:
                if fault := await self._canary(self._patience):
                    return f"the engine made no pass and {fault}"
                seen = time.monotonic()

    async def _canary(self, seconds: float) -> str | None:
        """Return None once a token is generated or the engine is seen working, else what it did for `seconds`.

        Errors are taken for `canary_seconds` only: waiting longer would not help.
        """
        before = await self._passes()
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            status, answer = await self._ask("POST", f"/v2/models/{MODEL_NAME}/generate", CANARY, left)
            if status == 200:
                return None
            passes = await self._passes()
            if passes is not None and before is not None and passes > before:
                return None  # busy with others, or its queue is full
            full = OverloadedError.error_type.encode() in answer
            if status and not full and time.monotonic() - began >= self._watch.canary_seconds:
                return f"answered {status} {answer[:500].decode('utf-8', 'replace')}"
            await asyncio.sleep(RETRY_SECONDS)
        return f"answered nothing for {seconds:.0f} s"

    async def _passes(self) -> float | None:
        """Return the engine passes so far; None when they cannot be read."""
        look = await self._read_metrics()
        return None if look is None else look.total

    async def _read_metrics(self) -> Look | None:
        """Return what the metrics say; None when they cannot be read."""
        try:
            async with self._metrics.request("GET", "/metrics", silence=READ_SECONDS) as answer:
                return Look.read((await answer.read()).decode("utf-8"))
        except (OSError, ValueError):  # not there, silent, cut off, or no text of metrics
            return None

    async def _ask(self, method: str, path: str, body: bytes, seconds: float) -> tuple[int, bytes]:
        """Return status and body of the answer; (0, b"") when none came in time."""
        try:
            async with self._http.request(method, path, body, {"Content-Type": JSON}, silence=seconds) as answer:
                return answer.status, await answer.read()
        except OSError:
            return 0, b""


async def _first(*watches: Coroutine[Any, Any, T]) -> T:
    """Return the result of the first one to end; the others are cancelled."""
    tasks = {asyncio.create_task(watch) for watch in watches}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()


def log(text: str) -> None:
    """Write one line for operators."""
    print(f"trimode-serve: {text}", file=sys.stderr, flush=True)
