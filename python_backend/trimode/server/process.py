"""One running tritonserver: started so that it cannot outlive this process, and ended without leaving anything.

Knows processes, their log and their shared memory files; nothing of requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

SHM = Path("/dev/shm")
STUB_NAME = "triton_python_b"  # the kernel keeps 15 characters
NOISE = b"CudaDriverHelper has not been initialized"  # Triton logs it first on every machine without a GPU
LOG_PART = 65536  # bytes read at a time, a pipe's capacity on Linux; a longer line is passed on in parts
LAST_WORDS_SECONDS = 0.5  # for the rest of the log of a server that has just ended

# Waits until this process has ended in whatever way, and then kills the server's process group. Asking the kernel to
# kill the server when its parent dies would not do: its stub may then wait for ever for a lock that the server held.
REAPER = 'read _; kill -s KILL -- "-$1"; rm -rf "$2"* "$3"'


def _stat(pid: int) -> tuple[str, str, int] | None:
    """Return (name, state, parent's pid) of a process, None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(") ")
    state, parent = rest.split()[:2]
    return name, state, int(parent)


class TritonProcess:
    """A tritonserver process, its process group, its Python stubs, and the shared memory files under its prefix."""

    def __init__(
        self, process: asyncio.subprocess.Process, reaper: asyncio.subprocess.Process, shm_prefix: str
    ) -> None:
        self._process = process
        self._reaper = reaper
        self._shm_prefix = shm_prefix
        self._stubs: set[int] = set()
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
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        reaper = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", REAPER, "trimode-reaper", str(process.pid), str(SHM / shm_prefix), str(scratch)),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return cls(process, reaper, shm_prefix)

    @property
    def returncode(self) -> int | None:
        """Exit status, None while it runs."""
        return self._process.returncode

    def find_stubs(self) -> set[int]:
        """Find the stubs among the server's children; `fault` reports on every stub found so far."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                found = _stat(int(entry.name))
                if found and found[0] == STUB_NAME and found[2] == self._process.pid:
                    self._stubs.add(int(entry.name))
        return self._stubs

    def fault(self) -> str | None:
        """Return which process has ended or is stopped; None when all of them run."""
        if self.returncode is not None:
            return f"tritonserver ended with status {self.returncode}"
        for what, pid in (("tritonserver", self._process.pid), *(("the backend process", pid) for pid in self._stubs)):
            found = _stat(pid)
            if found is None or found[1] in "ZX":
                return f"{what} {pid} died"
            if found[1] == "T":
                return f"{what} {pid} is stopped"
        return None

    def terminate(self) -> None:
        """Ask the server to finish its requests and end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    async def wait(self) -> None:
        """Wait until it has ended."""
        await self._process.wait()

    async def kill(self) -> None:
        """Kill the server and its stubs at once, and delete their shared memory files."""
        stubs = [pid for pid in self.find_stubs() if (found := _stat(pid)) and found[0] == STUB_NAME]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for pid in stubs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._process.wait()
        self._reaper.kill()
        await self._reaper.wait()
        await asyncio.wait({self._log}, timeout=LAST_WORDS_SECONDS)
        self._log.cancel()
        clear_shm(self._shm_prefix)


async def forward_log(source: asyncio.StreamReader, sink: BinaryIO) -> None:
    """Pass the server's log on, whole lines at a time, without NOISE, until it ends."""
    unfinished = b""  # the last line, as long as its end is missing
    while part := await source.read(LOG_PART):
        *lines, unfinished = (unfinished + part).splitlines(keepends=True)
        if unfinished.endswith(b"\n") or len(unfinished) > LOG_PART:
            lines, unfinished = [*lines, unfinished], b""
        sink.writelines(line for line in lines if NOISE not in line)
        sink.flush()
    sink.write(unfinished if NOISE not in unfinished else b"")
    sink.flush()


def _namespace_prefix() -> str:
    """Return what the names of the shared memory files of every server in this PID namespace begin with.

    Containers may share /dev/shm, but the same pid is another process in each of them.
    """
    return f"trimode_{Path('/proc/self/ns/pid').stat().st_ino}_"


def own_prefix() -> str:
    """Return what the names of the shared memory files of this process's server begin with."""
    return f"{_namespace_prefix()}{os.getpid()}_"


def clear_shm(prefix: str) -> None:
    """Delete the shared memory files under `prefix`, and those of dead servers of this PID namespace."""
    namespace = _namespace_prefix()
    for file in SHM.glob(f"{namespace}*_*"):
        owner = file.name.removeprefix(namespace).partition("_")[0]
        if file.name.startswith(prefix) or (owner.isdigit() and not Path(f"/proc/{owner}").exists()):
            with contextlib.suppress(OSError):
                file.unlink()
