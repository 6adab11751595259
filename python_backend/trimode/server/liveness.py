"""Whether the server lives: its processes run, its engine makes passes, and a canary request gets a token.

Knows the server's health, generate and metrics URLs; says what is wrong, and leaves what to do about it to others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from ..api.tensors import CANARY_TAG, MODEL_NAME, TAG
from ..errors import ExhaustedError, OverloadedError, ServeError
from ..metrics import INSTANCE, PASSES, RUNNING, WAITING
from .backend_client import JSON, BackendClient
from .process import TritonProcess

PROCESS_SECONDS = 0.25  # between checks of the processes; the streams of a dead backend hang until it is noticed
STOPPED_SECONDS = 1.0  # for a stopped process to continue; a debugger or a shell may stop one for a moment
PROGRESS_SECONDS = 1.0  # between reads of the metrics; each makes Triton write them all
IDLE_SECONDS = 10.0  # between canaries while nothing runs, so that an idle server stays close to idle
START_POLL_SECONDS = 0.05  # between questions to a server that is loading; it is ready that much later at most
RETRY_SECONDS = 0.2  # between canaries that are answered with an error, so that they do not load the server
LAST_WORDS_SECONDS = 0.5  # for a server to log why its backend died, before it is killed
READ_SECONDS = 2.0  # for an answer that needs no engine; tritonserver gives it within milliseconds
FIRST_TOKEN_FACTOR = 64  # a stuck engine is given so many times the first token's time: a pass under load is slower
ERROR_BYTES = 500  # of an answer that are quoted; Triton's errors are one sentence
CANARY = json.dumps({TAG: CANARY_TAG, "mode": "autoregressive", "input_ids": [0], "max_tokens": 1}).encode("ascii")
READ_METRICS = (PASSES.name, RUNNING.name, WAITING.name)
REFUSED = -1  # in place of a status: once it is ready, Triton stops to listen only if somebody ended it
T = TypeVar("T")


@dataclass(frozen=True)
class Activity:
    """What the metrics say at one moment: engine passes so far, and requests that run or wait, both by instance."""

    passes: Mapping[str, float]
    requests: Mapping[str, float]

    @classmethod
    def read(cls, text: str) -> Activity:
        """Read Triton's metrics.

        Raises:
            ValueError: a line cannot be read.
        """
        values: dict[str, dict[str, float]] = {name: {} for name in READ_METRICS}
        # These lines take 0.06 ms of the event loop's time each second; all lines would take 4 ms.
        lines = "".join(line for line in text.splitlines(keepends=True) if line.startswith(READ_METRICS))
        try:
            samples = [sample for family in text_string_to_metric_families(lines) for sample in family.samples]
        except IndexError as exc:  # the parser's way to refuse some broken labels
            raise ValueError("broken labels") from exc
        for sample in samples:
            if sample.name in values:
                values[sample.name][sample.labels.get(INSTANCE, "")] = sample.value
        running, waiting = values[RUNNING.name], values[WAITING.name]
        requests = {name: running.get(name, 0) + waiting.get(name, 0) for name in running | waiting}
        return cls(values[PASSES.name], requests)

    @property
    def total_passes(self) -> float | None:
        """Passes of all instances; None before there are any."""
        return sum(self.passes.values()) if self.passes else None

    @property
    def busy(self) -> bool:
        """Whether requests run or wait."""
        return any(self.requests.values())


class Standstills:
    """Since when each of several instances has had requests and made no pass.

    Triton sends a canary to an instance of its choice, so a canary may never reach the one that is stuck.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, float]] = {}  # instance -> its passes, and the second they were first seen

    def longest(self, activity: Activity, now: float) -> tuple[float, str]:
        """Return (seconds, instance) of the longest one at `now`; (0, "") where there is one instance or none."""
        if len(activity.passes) < 2:
            return 0.0, ""
        for name, passes in activity.passes.items():
            if self._since.get(name, (-1.0, 0.0))[0] != passes or not activity.requests.get(name):
                self._since[name] = passes, now
        return max((now - since, name) for name, (_, since) in self._since.items())


class Liveness:
    """Watches one server at a time, from its start to its first fault.

    Attributes:
        stuck_seconds: how long an engine may do nothing before it counts as stuck: `canary_seconds`, or longer for a
            model whose first token took long.
    """

    def __init__(
        self,
        http: BackendClient,
        metrics: BackendClient,
        *,
        ready_seconds: float,
        canary_seconds: float,
        model: str = MODEL_NAME,
    ) -> None:
        """Watch the server that the two clients reach.

        Args:
            http, metrics: clients of the server's two ports.
            ready_seconds: how long a start may take, the first token included.
            canary_seconds: the least `stuck_seconds`, and how long errors to a canary are accepted.
            model: the name by which the server knows its model.
        """
        self._http = http
        self._generate_path = f"/v2/models/{model}/generate"
        self._metrics = metrics
        self._ready_seconds = ready_seconds
        self._canary_seconds = canary_seconds
        self.stuck_seconds = canary_seconds

    async def aclose(self) -> None:
        """Close the connections to the server; a server that is ending waits for them."""
        await self._http.aclose()
        await self._metrics.aclose()

    async def until_ready(self, process: TritonProcess) -> None:
        """Wait until the model is loaded and has generated a token.

        Raises:
            ServeError: the server ended or its backend died before that, or it took too long.
        """
        deadline = time.monotonic() + self._ready_seconds
        await self._until_loaded(process, deadline)
        await self._until_answering(process, deadline)

    async def until_fault(self, process: TritonProcess) -> str:
        """Return what is wrong with the server, as soon as something is."""
        return await _first(_process_fault(process), self._engine_fault())

    async def _until_loaded(self, process: TritonProcess, deadline: float) -> None:
        while True:
            process.find_stubs()
            if fault := process.fault():
                await asyncio.sleep(LAST_WORDS_SECONDS)
                raise ServeError(f"{fault.text} before the model was ready; the lines above say why")
            if time.monotonic() > deadline:
                raise ServeError(f"the model was not ready after {self._ready_seconds:.0f} s")
            with contextlib.suppress(ExhaustedError):
                status, _ = await self._ask("GET", "/v2/health/ready", b"", READ_SECONDS)
                if status == 200:
                    return
            await asyncio.sleep(START_POLL_SECONDS)

    async def _until_answering(self, process: TritonProcess, deadline: float) -> None:
        """Wait for the first token; its time decides how long this model's engine may do nothing."""
        began = time.monotonic()
        try:
            fault = await _first(_process_fault(process), self._canary(deadline - began))
        except ExhaustedError as exc:
            fault = str(exc)
        if fault:
            raise ServeError(f"the model was loaded, but {fault} before it served")
        self.stuck_seconds = max(self._canary_seconds, FIRST_TOKEN_FACTOR * (time.monotonic() - began))

    async def _engine_fault(self) -> str:
        """Return once the engine neither makes passes nor answers a canary, or one of several instances is stuck."""
        last_passes, last_sign = -1.0, 0.0  # last_sign: the second of the last sign of life
        standstills = Standstills()
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            activity = await self._read_activity()
            passes = None if activity is None else activity.total_passes
            if activity is not None:
                seconds, instance = standstills.longest(activity, time.monotonic())
                if seconds > self.stuck_seconds:
                    return f"the engine of {instance} made no pass for {seconds:.0f} s while it had requests"
            if passes is not None and passes != last_passes:
                last_passes, last_sign = passes, time.monotonic()
            elif activity is None or passes is None or activity.busy or time.monotonic() - last_sign >= IDLE_SECONDS:
                with contextlib.suppress(ExhaustedError):  # not known now; asked again after PROGRESS_SECONDS
                    if fault := await self._canary(self.stuck_seconds):
                        return f"the engine made no pass and {fault}"
                    last_sign = time.monotonic()

    async def _canary(self, seconds: float) -> str | None:
        """Return None once a token is generated or the engine makes a pass; else say what it did for `seconds`.

        Errors are accepted for `canary_seconds` only: waiting longer would not help.

        Raises:
            ExhaustedError: this process could not ask, so nothing is known.
        """
        before = await self._passes()
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            status, answer = await self._ask("POST", self._generate_path, CANARY, left)
            if status == 200:
                return None
            if status == REFUSED:
                return "refused a connection"
            passes = await self._passes()
            before = passes if before is None else before
            if passes is not None and before is not None and passes > before:
                return None  # it works for others, or its queue is full
            full = OverloadedError.error_type.encode() in answer
            if status and not full and time.monotonic() - began >= self._canary_seconds:
                return f"answered {status} {answer[:ERROR_BYTES].decode('utf-8', 'replace')}"
            await asyncio.sleep(RETRY_SECONDS)
        return f"answered nothing for {seconds:.0f} s"

    async def _passes(self) -> float | None:
        """Return the engine passes so far; None when they cannot be read."""
        activity = await self._read_activity()
        return None if activity is None else activity.total_passes

    async def _read_activity(self) -> Activity | None:
        """Return what the metrics say; None when they cannot be read."""
        try:
            async with self._metrics.request("GET", "/metrics", silence=READ_SECONDS) as answer:
                return Activity.read((await answer.read()).decode("utf-8"))
        except (OSError, ValueError):  # nobody listens, it is silent, the answer was cut off, or is no text of metrics
            return None

    async def _ask(self, method: str, path: str, body: bytes, seconds: float) -> tuple[int, bytes]:
        """Return status and body of the answer; (0, b"") when none came in time, REFUSED when nobody listens.

        Raises:
            ExhaustedError: it could not be asked.
        """
        try:
            async with self._http.request(method, path, body, JSON, silence=seconds) as answer:
                return answer.status, await answer.read()
        except ExhaustedError:
            raise
        except ConnectionRefusedError:
            return REFUSED, b""
        except OSError:
            return 0, b""


async def _process_fault(process: TritonProcess) -> str:
    """Return the first fault of the processes; a stopped one may continue within STOPPED_SECONDS."""
    checks = 0  # in a row that found a fault
    while True:
        fault = process.fault()
        checks = checks + 1 if fault else 0
        if fault and (not fault.may_recover or checks * PROCESS_SECONDS > STOPPED_SECONDS):
            return fault.text
        await asyncio.sleep(PROCESS_SECONDS)


async def _first(*watches: Coroutine[Any, Any, T]) -> T:
    """Return the result of the first one to end; the others are cancelled."""
    tasks = {asyncio.create_task(watch) for watch in watches}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
