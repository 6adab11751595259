"""One running tritonserver: started so that it cannot outlive this process, and ended without leaving anything.

Knows processes and their log; nothing of requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from .launch.reaper import WAITING, Reaper
from .launch.triton_log import pass_on
from .shared_memory import SHM, clear_shm

logger = logging.getLogger(__name__)

STUB_NAME = "triton_python_backend_stub"
SHORT_NAME = 15  # characters that the kernel keeps of a name; psutil adds the rest only while the process lives
NOISE = (b"CudaDriverHelper has not been initialized", b"NODELAY NOT SUPPORTED")
"""What Triton logs at each start, on every machine without a GPU, and about every Unix socket."""
LOG_PART = 65536  # bytes read at a time, a pipe's capacity on Linux; a longer line is passed on in parts
LAST_WORDS_SECONDS = 0.5  # for the rest of the log of a server that has just ended
OWNER_ONLY = 0o077  # what files and sockets that the server makes do not allow: anything to others


@dataclass(frozen=True)
class Fault:
    """What is wrong with a process; one that is only stopped may continue by itself."""

    text: str
    may_recover: bool = False


class TritonProcess:
    """A tritonserver process, its process group, its Python stubs, and the shared memory files under its prefix."""

    def __init__(self, process: asyncio.subprocess.Process, reaper: Reaper, shm_prefix: str) -> None:
        self._process = process
        self._reaper = reaper
        self._shm_prefix = shm_prefix
        self._stubs: set[psutil.Process] = set()  # known by pid and start, so that no other passes for one of them
        assert process.stderr is not None
        self._log = asyncio.create_task(forward_log(process.stderr, pass_on))

    @classmethod
    async def start(
        cls, command: list[str], environment: dict[str, str], shm_prefix: str, scratch: Path, reaper: Reaper
    ) -> TritonProcess:
        """Start `command` in a process group of its own, once `reaper` knows of the group and its shared memory files.

        Sockets in the folder `scratch`, of a server before this one, are deleted first.
        """
        clear_shm(shm_prefix)
        for socket in filter(Path.is_socket, scratch.glob("*")):  # of a server before this one, which was killed
            socket.unlink()
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", WAITING, "trimode-waiting", *command),
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            umask=OWNER_ONLY,
        )
        reaper.files(SHM / shm_prefix)
        reaper.group(process.pid)
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # somebody ended it already
            process.stdin.write(b"\n")
            process.stdin.close()
        return cls(process, reaper, shm_prefix)

    @property
    def returncode(self) -> int | None:
        """Exit status, None while it runs."""
        return self._process.returncode

    def find_stubs(self) -> None:
        """Find the stubs among the server's children; `fault` reports on every stub found so far."""
        with contextlib.suppress(psutil.Error, OSError):
            self._stubs.update(child for child in psutil.Process(self._process.pid).children() if _is_stub(child))

    def fault(self) -> Fault | None:
        """Return which process has ended or is stopped; None when all of them run."""
        if self.returncode is not None:
            return Fault(f"tritonserver ended with status {self.returncode}{_signal_name(self.returncode)}")
        try:
            server = psutil.Process(self._process.pid)  # our child: nobody else has its pid before `returncode` is set
        except psutil.NoSuchProcess:
            return Fault(f"tritonserver {self._process.pid} died")
        except (psutil.Error, OSError):  # no file descriptor left, for example: not known now
            return None
        found = (_fault("the backend process", stub) for stub in self._stubs)
        return _fault("tritonserver", server) or next(filter(None, found), None)

    async def kill(self) -> None:
        """Kill the server and its stubs at once, and delete their shared memory files; a second call does nothing."""
        self.find_stubs()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stub in self._stubs:
            with contextlib.suppress(psutil.Error, OSError):
                stub.kill()
        await self._process.wait()
        self._reaper.group(None)
        await asyncio.wait({self._log}, timeout=LAST_WORDS_SECONDS)
        self._log.cancel()
        with contextlib.suppress(OSError):  # for want of file descriptors; the next start clears them
            clear_shm(self._shm_prefix)


def _signal_name(status: int) -> str:
    """Return which signal a status below zero stands for, in brackets."""
    with contextlib.suppress(ValueError):
        return f" ({signal.Signals(-status).name})"
    return ""


def _is_stub(process: psutil.Process) -> bool:
    try:
        return process.name()[:SHORT_NAME] == STUB_NAME[:SHORT_NAME]
    except (psutil.Error, OSError):
        return False


def _fault(what: str, process: psutil.Process) -> Fault | None:
    try:
        status = process.status() if process.is_running() else psutil.STATUS_DEAD
    except psutil.NoSuchProcess:
        status = psutil.STATUS_DEAD
    except (psutil.Error, OSError):  # no file descriptor left, for example: not known now
        return None
    if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
        return Fault(f"{what} {process.pid} died")
    if status == psutil.STATUS_STOPPED:
        return Fault(f"{what} {process.pid} is stopped", may_recover=True)
    return None


async def forward_log(source: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
    """Hand the server's log to `take`, line by line, without NOISE, until it ends."""
    unfinished = b""  # the last line, as long as its end is missing
    while part := await source.read(LOG_PART):
        *lines, unfinished = (unfinished + part).splitlines(keepends=True)
        if unfinished.endswith(b"\n") or len(unfinished) > LOG_PART:
            lines, unfinished = [*lines, unfinished], b""
        _hand_on(lines, take)
    _hand_on([unfinished], take)


def _hand_on(lines: list[bytes], take: Callable[[bytes], None]) -> None:
    for line in lines:
        if line and not any(noise in line for noise in NOISE):
            try:
                take(line)
            except Exception:  # who writes the log would wait for ever if nobody read on
                logger.exception("a line of the log could not be passed on")
