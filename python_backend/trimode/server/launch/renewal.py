"""Renewal: the bundle that the next start of tritonserver takes, read again when the operator asks for it.

Knows bundles and how they are started; nothing of when that happens, which is the supervisor's.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from ...bundle.digests import StoppedError
from ...errors import TrimodeError
from ...logs.setup import serve_log
from ..process import TritonProcess
from .command import Launch
from .reaper import Reaper
from .served import Served

STAYS = "the former bundle stays, since the new one cannot be served"


class Renewal:
    """Starts what is served now, from the next start after `read` on what was read then.

    Attributes:
        served: what the last start took.
        launch: how it is started.
        on_read: hears, in a thread, of another bundle once it was read; it raises a TrimodeError to refuse it.
        on_taken: hears of it when it is started.
    """

    def __init__(
        self, options: argparse.Namespace, folder: Path, reaper: Reaper, served: Served, stopping: threading.Event
    ) -> None:
        """Begin with `served`; `folder` is the server's private one, and nothing is read once `stopping` is set."""
        self._options, self._folder, self._reaper, self._stopping = options, folder, reaper, stopping
        self.served, self.launch = served, served.launch(options, folder)
        self.on_read: Callable[[Served], None] = lambda served: None
        self.on_taken: Callable[[Served], None] = lambda served: None
        self._next: tuple[Served, Launch] | None = None
        self._count = 0
        self._asked = False
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> TritonProcess:
        """Start tritonserver; `on_taken` hears of another bundle before.

        Raises:
            OSError: this process has no files or memory for another one.
        """
        if self._next is not None:
            (self.served, self.launch), self._next = self._next, None
            self.on_taken(self.served)
        return await self.launch.start(self._reaper)

    def begin(self, renew: Callable[[], None]) -> None:
        """Read and check the bundle beside all that runs, then call `renew`; one that cannot be served is refused.

        If that goes on already, the bundle is read once more after it: it may have changed meanwhile.
        """
        self._asked = True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(renew))

    async def _read(self, renew: Callable[[], None]) -> None:
        while self._asked:
            self._asked = False
            try:
                self._next = await asyncio.to_thread(self._prepared)
            except StoppedError:
                return
            except (TrimodeError, OSError) as exc:
                said = exc.on_the_wire() if isinstance(exc, TrimodeError) else str(exc)
                serve_log.error("%s%s: %s", self._options.whose, STAYS, said)
            except Exception:
                serve_log.exception("%s%s", self._options.whose, STAYS)
            else:
                renew()

    def _prepared(self) -> tuple[Served, Launch]:
        served = Served.read(self._options, self._stopping)
        self._count += 1
        (folder := self._folder / str(self._count)).mkdir()
        launch = served.launch(self._options, folder, self.launch.ports)
        self.on_read(served)  # at the end: what it takes up must be what will be served
        return served, launch
