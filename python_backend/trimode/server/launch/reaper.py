"""The process that ends and deletes what this one made, when this one dies in whatever way.

It is started before anything is made, and hears of each thing before that exists; so nothing is left at whatever moment
this process is killed. Knows processes, files and a pipe; nothing of Triton.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from ...errors import ServeError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between looks whether the reaper is stopped; that it ended is known at once
GROUP, FOLDER, FILES = "group", "folder", "files"
"""A process group to kill; a folder to delete; what the names of files to delete begin with."""

# Reads lines of a kind and a value, until this process has ended in whatever way: the end of a pipe. Asking the kernel
# to kill the server when its parent dies would not do: its stub may then wait for ever for a lock that the server held.
REAPER = f"""
while read -r kind value; do
  case $kind in {GROUP}) group=$value ;; {FOLDER}) folder=$value ;; {FILES}) files=$value ;; esac
done
if [ -n "$group" ]; then kill -s KILL -- "-$group" 2>/dev/null; fi
if [ -n "$files" ]; then rm -f "$files"*; fi
if [ -n "$folder" ]; then rm -rf "$folder"; fi
"""
WAITING = 'read -r _ && exec "$@" </dev/null'
"""A shell's line: waits for leave on its input, then becomes the command; without leave it ends."""


class Reaper:
    """One reaper inside the block; it is replaced when somebody ends or stops it, and its successor hears the same."""

    def __init__(self) -> None:
        self._things: dict[str, str] = {}
        self.process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        """Start it.

        Raises:
            ServeError: this process has no files or memory for another one.
        """
        try:
            self.process = await self._start()
        except OSError as exc:  # nothing may be made without a reaper
            raise ServeError(f"no process can be started: {exc}") from exc
        self._keeping = asyncio.create_task(self._keep())
        self._keeping.add_done_callback(_say_why)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; nothing is ended or deleted."""
        self._keeping.cancel()
        await asyncio.wait({self._keeping})
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    def folder(self, path: Path) -> None:
        """Let `path` be deleted, a folder whose name has no spaces; it need not be there yet."""
        self._hear(FOLDER, str(path))

    def files(self, prefix: Path) -> None:
        """Let all files be deleted whose path begins with `prefix`."""
        self._hear(FILES, str(prefix))

    def group(self, pid: int | None) -> None:
        """Let the process group of `pid` be killed, or none."""
        self._hear(GROUP, str(pid or ""))

    def _hear(self, kind: str, value: str) -> None:
        self._things[kind] = value
        _tell(self.process, {kind: value})

    async def _start(self) -> asyncio.subprocess.Process:
        made = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", REAPER, "trimode-reaper"), stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        _tell(made, self._things)
        return made

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):  # not wait_for: of Python 3.11 it may swallow that it is cancelled
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.process.wait()
            if self.process.returncode is None and not _is_stopped(self.process.pid):
                continue
            try:
                replacement = await self._start()
            except OSError:  # for want of file descriptors or memory, which may pass
                await asyncio.sleep(LOOK_SECONDS)
                continue
            old, self.process = self.process, replacement
            with contextlib.suppress(ProcessLookupError):
                old.kill()
            _tell(replacement, self._things)  # what was said to the old one meanwhile
            logger.warning("the reaper %d was ended or stopped, %d is in its place", old.pid, replacement.pid)


def _say_why(keeping: asyncio.Task[None]) -> None:
    """Log the defect by which nobody looks after the reaper any more."""
    if not keeping.cancelled() and (defect := keeping.exception()) is not None:
        logger.error("nobody looks after the reaper any more", exc_info=defect)


def _tell(process: asyncio.subprocess.Process, things: dict[str, str]) -> None:
    """Write to the pipe, at once as long as it has room; a reaper that has ended is replaced and hears it then."""
    assert process.stdin is not None
    lines = "".join(f"{kind} {value}\n" for kind, value in things.items())
    with contextlib.suppress(OSError, RuntimeError):  # its end of the pipe is closed
        process.stdin.write(lines.encode())


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False
