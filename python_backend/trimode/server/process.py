"""One running tritonserver: started so that it cannot outlive this process, and ended without leaving anything.

Knows processes and their log; nothing of requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psutil

from .shared_memory import SHM, clear_shm

STUB_NAME = "triton_python_backend_stub"
SHORT_NAME = 15  # characters that the kernel keeps of a name; psutil adds the rest only while the process lives
NOISE = (b"CudaDriverHelper has not been initialized", b"NODELAY NOT SUPPORTED")
"""What Triton logs at each start, on every machine without a GPU, and about every Unix socket."""
LOG_PART = 65536  # bytes read at a time, a pipe's capacity on Linux; a longer line is passed on in parts
LAST_WORDS_SECONDS = 0.5  # for the rest of the log of a server that has just ended
REAPER_SECONDS = 1.0  # between looks whether the reaper is stopped; that it ended is known at once
OWNER_ONLY = 0o077  # what files and sockets that the server makes do not allow: anything to others

# Waits until this process has ended in whatever way, and then kills the server's process group. Asking the kernel to
# kill the server when its parent dies would not do: its stub may then wait for ever for a lock that the server held.
REAPER = 'read _; kill -s KILL -- "-$1"; rm -rf "$2"* "$3"'


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
        self._log = asyncio.create_task(forward_log(process.stderr, sys.stderr.buffer))

    @classmethod
    async def start(
        cls, command: list[str], environment: dict[str, str], shm_prefix: str, scratch: Path
    ) -> TritonProcess:
        """Start `command` in a process group of its own, and a reaper.

        When this process dies, the reaper kills the group and deletes its shared memory files and the folder `scratch`.
        """
        clear_shm(shm_prefix)
        for socket in filter(Path.is_socket, scratch.glob("*")):  # of a server before this one, which was killed
            socket.unlink()
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            umask=OWNER_ONLY,
        )
        arguments = str(process.pid), str(SHM / shm_prefix), str(scratch)
        try:
            reaper = await Reaper.start(*arguments)
        except BaseException:  # without a reaper the server could outlive this process
            process.kill()
            await process.wait()
            raise
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
        await self._reaper.end()
        await asyncio.wait({self._log}, timeout=LAST_WORDS_SECONDS)
        self._log.cancel()
        with contextlib.suppress(OSError):  # for want of file descriptors; the next start clears them
            clear_shm(self._shm_prefix)


class Reaper:
    """The process that ends what this one started when this one dies; it is replaced when somebody ends or stops it."""

    def __init__(self, arguments: tuple[str, ...], process: asyncio.subprocess.Process) -> None:
        self._arguments = arguments
        self.process = process
        self._keeping = asyncio.create_task(self._keep())

    @classmethod
    async def start(cls, *arguments: str) -> Reaper:
        """Start one; the arguments are REAPER's: the process group, prefix of shared memory, private folder."""
        return cls(arguments, await _new_reaper(arguments))

    async def end(self) -> None:
        """End the reaper, which has nothing to do any more; a second call does nothing."""
        self._keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeping
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), REAPER_SECONDS)
            if self.process.returncode is None and not _is_stopped(self.process.pid):
                continue
            try:
                replacement = await _new_reaper(self._arguments)
            except OSError:  # for want of file descriptors or memory, which may pass
                await asyncio.sleep(REAPER_SECONDS)
                continue
            old, self.process = self.process, replacement
            with contextlib.suppress(ProcessLookupError):
                old.kill()
            log(f"the reaper {old.pid} was ended or stopped, {replacement.pid} is in its place")


async def _new_reaper(arguments: tuple[str, ...]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", REAPER, "trimode-reaper", *arguments),
        stdin=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


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


async def forward_log(source: asyncio.StreamReader, sink: BinaryIO) -> None:
    """Pass the server's log on, whole lines at a time, without NOISE, until it ends."""
    unfinished = b""  # the last line, as long as its end is missing
    while part := await source.read(LOG_PART):
        *lines, unfinished = (unfinished + part).splitlines(keepends=True)
        if unfinished.endswith(b"\n") or len(unfinished) > LOG_PART:
            lines, unfinished = [*lines, unfinished], b""
        _write(sink, lines)
    _write(sink, [unfinished])


def _write(sink: BinaryIO, lines: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # a full disk, or nobody reads; the server would wait if its log were not read
        sink.writelines(line for line in lines if not _is_noise(line))
        sink.flush()


def log(text: str, level: str = "INFO") -> None:
    """Write one line for operators; where it cannot be written, serving goes on without it."""
    with contextlib.suppress(OSError):
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(f"{moment} {level} trimode-serve: {text}", file=sys.stderr, flush=True)


def _is_noise(line: bytes) -> bool:
    return any(noise in line for noise in NOISE)
