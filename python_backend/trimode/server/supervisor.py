"""When tritonserver is started, replaced, given up and stopped. liveness.py finds out what is wrong with it.

Triton 2.51 never restarts a dead stub, stays "ready", and leaves its streams hanging; a reload of the model does not
end them either. Killing the server does, at once, and costs 0.3 s more than a reload.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from ..errors import ServeError
from ..logs.setup import serve_log
from .gate import Gate
from .liveness import Liveness
from .process import TritonProcess

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0  # between restarts of a server that fails again and again
SETTLED_SECONDS = 60.0  # a server that lived this long failed for a new reason; its failure counts as the first
DRAIN_POLL_SECONDS = 0.02  # between looks whether requests still run once the server is to stop
LAST_ANSWERS_SECONDS = 0.5  # for the errors of requests that were cut off to reach their callers


def backoff_seconds(failures: int) -> float:
    """Return the pause before a restart, after so many failures in a row: none at first, then twice the last one."""
    return 0.0 if failures < 2 else min(FIRST_PAUSE_SECONDS * 2 ** min(failures - 2, 16), LONGEST_PAUSE_SECONDS)


class Supervisor:
    """Starts, replaces and stops the server; `alive` is what its faces answer to health checks.

    A server that never served ends the supervisor. One that has served is replaced for as long as it takes: the cause
    may pass, and a growing pause leaves the machine free meanwhile.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[TritonProcess]],
        liveness: Liveness,
        exit_seconds: float,
        gate: Gate | None = None,
        whose: str = "",
    ) -> None:
        """Supervise none yet.

        Args:
            gate: where new requests wait while a successor is started in order.
            whose: stands in front of what is said, where there are several servers.
        """
        self._whose = whose
        self._gate = gate or Gate()
        self._renewing = asyncio.Event()
        self._start = start
        self._liveness = liveness
        self._exit_seconds = exit_seconds
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()
        self._served = False
        self.alive = False

    def stop(self) -> None:
        """Let `run` end the server in order: running requests may finish, new ones are refused. Twice: end it now."""
        if self._stopping.is_set():
            self._at_once.set()
        self.alive = False
        self._stopping.set()
        self._gate.open()

    def renew(self) -> None:
        """Let `run` start a successor once nothing runs; new requests wait meanwhile."""
        self._renewing.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    async def run(self, on_ready: Callable[[], Awaitable[None]], running: Callable[[], int]) -> None:
        """Serve until `stop`.

        Args:
            on_ready: awaited after each start, before the server counts as alive.
            running: how many requests have no answer yet.

        Raises:
            ServeError: the server could not be started, the first time.
        """
        failures = restarts = 0
        while True:
            began = time.monotonic()
            process = None
            self._renewing.clear()  # what is started now is the newest
            try:
                process = await self._start()
                fault = await self._serve(process, on_ready, running)
            except (ServeError, OSError) as exc:  # OSError: this process has no files or memory for another one
                if not self._served:
                    raise ServeError(f"{self._whose}{exc}") from exc  # another start would end the same way
                fault = str(exc)
            finally:
                self.alive = False
                if process is not None:
                    await process.kill()
            if fault is None and self.stopping:
                return
            if fault is None:
                continue  # a successor, for which requests wait
            self._gate.open()
            settled = time.monotonic() - began > SETTLED_SECONDS
            failures = 1 if settled else failures + 1
            restarts += 1
            pause = backoff_seconds(failures)
            said = "%s%s; its streams were ended, restart %d in %g s (failure %d in a row)"
            serve_log.warning(said, self._whose, fault, restarts, pause, failures)
            await self._pause(pause)
            if self.stopping:
                return

    async def _pause(self, seconds: float) -> None:
        """Wait so long before another start, unless the server is to stop or has another bundle to start on."""
        waits = [asyncio.create_task(event.wait()) for event in (self._stopping, self._renewing)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _serve(
        self, process: TritonProcess, on_ready: Callable[[], Awaitable[None]], running: Callable[[], int]
    ) -> str | None:
        """Return the fault that ended `process`, None when `stop` was called, or `renew` and nothing runs any more."""
        following = asyncio.create_task(self._follow(process, on_ready))
        stopping = asyncio.create_task(self._stopping.wait())
        renewing = asyncio.create_task(self._renew(running))
        try:
            await asyncio.wait((following, stopping, renewing), return_when=asyncio.FIRST_COMPLETED)
            if following.done() and not stopping.done():
                return following.result()
        finally:
            for task in (following, stopping, renewing):
                task.cancel()
        if self.stopping:
            await self._drain(process, running)
        return None

    async def _renew(self, running: Callable[[], int]) -> None:
        """Wait until a successor is asked for and nothing runs any more."""
        await self._renewing.wait()
        if self.stopping:
            return
        self._gate.close()
        text = "%sa new bundle: new requests wait until %d that run have their answers"
        serve_log.info(text, self._whose, running())
        while running():
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        self.alive = False  # in this same moment: nothing may be sent to a server that is about to end

    async def _drain(self, process: TritonProcess, running: Callable[[], int]) -> None:
        """Wait until no request runs, then end the server; what runs too long is cut off, and callers hear that.

        Triton is killed, since nothing runs in it then: its own way to end polls each second and takes three or more.
        """
        if requests := running():
            text = "%sstopping: %d requests may finish within %g s"
            serve_log.info(text, self._whose, requests, self._exit_seconds)
        deadline = time.monotonic() + self._exit_seconds
        while running() and time.monotonic() < deadline and not self._at_once.is_set():
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        cut = running()
        await process.kill()
        if cut:
            serve_log.warning("%s%d requests were cut off", self._whose, cut)
            deadline = time.monotonic() + LAST_ANSWERS_SECONDS
            while running() and time.monotonic() < deadline:
                await asyncio.sleep(DRAIN_POLL_SECONDS)

    async def _follow(self, process: TritonProcess, on_ready: Callable[[], Awaitable[None]]) -> str:
        """Return the first fault of a server that became ready."""
        await self._liveness.until_ready(process)
        await on_ready()
        self._served, self.alive = True, not self.stopping
        if not self._renewing.is_set():  # or else requests wait for a successor of this one
            self._gate.open()
        return await self._liveness.until_fault(process)
