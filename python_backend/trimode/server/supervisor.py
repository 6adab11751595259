"""When tritonserver is started, replaced, given up and stopped. What is wrong with it is liveness.py's to find.

Triton 2.51 never restarts a dead stub, stays "ready", and leaves its streams hanging; a reload of the model does not
end them either. Killing the server does, at once, and costs 0.3 s more than a reload.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..errors import ServeError
from .liveness import Liveness
from .process import TritonProcess

SETTLED_SECONDS = 60.0  # a server that lived this long failed for a new reason; its failure counts as the first
KILL_SECONDS = 5.0  # for tritonserver to end after its own exit timeout, before it is killed


@dataclass(frozen=True)
class RestartPolicy:
    """How often a failing server is replaced, and how long a stopping one may take.

    Attributes:
        exit_seconds: how long running requests may take to finish once the server is to stop.
        max_failures: the supervisor gives up after so many failures in a row.
    """

    exit_seconds: float = 10.0
    max_failures: int = 5


class Supervisor:
    """Starts, replaces and stops the server; `alive` is what the guard answers to health checks."""

    def __init__(
        self, start: Callable[[], Awaitable[TritonProcess]], liveness: Liveness, policy: RestartPolicy
    ) -> None:
        self._start = start
        self._liveness = liveness
        self._policy = policy
        self._stopping = asyncio.Event()
        self.alive = False

    def stop(self) -> None:
        """Let `run` end the server in order: running requests may finish, new ones are refused."""
        self.alive = False
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
            process = await self._start()
            try:
                fault = await self._serve(process, on_ready)
            except ServeError as exc:
                if failures == 0:
                    raise  # it never served, and another start would end the same way
                fault = str(exc)
            finally:
                self.alive = False
                await process.kill()
            if fault is None:
                return
            settled = time.monotonic() - began > SETTLED_SECONDS
            failures = 1 if settled else failures + 1
            if failures >= self._policy.max_failures:
                raise ServeError(f"{fault}; giving up after {failures} failures in a row")
            restarts += 1
            log(f"{fault}; its streams were ended, restart {restarts} (failure {failures} in a row)")

    async def _serve(self, process: TritonProcess, on_ready: Callable[[], None]) -> str | None:
        """Return the fault that ended `process`, None when `stop` was called."""
        following = asyncio.create_task(self._follow(process, on_ready))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                return following.result()
        finally:
            following.cancel()
            stopping.cancel()
        log(f"stopping: running requests may finish within {self._policy.exit_seconds:g} s")
        await self._liveness.aclose()
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self._policy.exit_seconds + KILL_SECONDS)
        except TimeoutError:
            log("tritonserver did not end within its exit timeout and is killed")
        return None

    async def _follow(self, process: TritonProcess, on_ready: Callable[[], None]) -> str:
        """Return the first fault of a server that became ready."""
        await self._liveness.until_ready(process)
        self.alive = True
        on_ready()
        return await self._liveness.until_fault(process)


def log(text: str) -> None:
    """Write one line for operators."""
    print(f"trimode-serve: {text}", file=sys.stderr, flush=True)
