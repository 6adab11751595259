"""LimitedProcess: a process of our own that works within limits, and is killed when it takes too long or too much.

Nothing within a process can stop code that loops 10^10 times or asks for 2 GB in one expression. The process is started
for the first question and serves until the end. Knows nothing of what is asked.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ..errors import EngineError
from .limited_worker import LENGTH, OUT_OF_MEMORY, frame

START_SECONDS = 60.0
"""Seconds for the process to come up and take its first message; on a busy machine Python alone can take several."""
LAST_SECONDS = 5.0
"""Seconds for a process that closed its line to end, before it is killed; its status says why it ended."""
TAKEN_TOO_MUCH = (-signal.SIGPROF, -signal.SIGXCPU, OUT_OF_MEMORY)
"""How the process ends when its task takes too much. Any other end is not the task's doing."""

logger = logging.getLogger(__name__)


class TooMuchError(Exception):
    """The task took more time or memory than it may."""


class LimitedProcess:
    """A worker in a process of its own. One thread at a time may ask."""

    def __init__(self, worker: str, name: str, first: object, most_bytes: int) -> None:
        """Start nothing yet.

        Args:
            worker: the module that runs, a user of limited_worker.py.
            name: what errors call the process.
            first: the first message, which its answer may refuse.
            most_bytes: of an answer.
        """
        self._worker, self._name, self._first, self._most_bytes = worker, name, first, most_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def __del__(self) -> None:
        """End the process with the object."""
        self._end()

    def _ask(self, asked: object, seconds: float) -> dict[str, Any]:
        """Return the answer, or that to the first message if it refuses it; start the process if it does not run.

        Raises:
            TooMuchError: the task took more than it may. The process is ended.
            EngineError: it cannot be started, or ended for a reason that is not the task's.
        """
        try:
            return self._start() or self._exchange(asked, seconds)
        except TimeoutError as exc:
            self._end()
            raise TooMuchError from exc
        except TooMuchError:
            self._end()
            raise
        except EngineError as exc:
            self._end()
            logger.error("%s: %r", exc, exc.__cause__)
            raise

    def _start(self) -> dict[str, Any] | None:
        """Start the process unless it runs; return its answer if it refuses the first message.

        Raises:
            EngineError: it cannot be started, or does not come up in time.
            TooMuchError: it cannot take the first message within its limits.
        """
        if self._process is not None and self._process.poll() is None:
            return None
        self._end()
        paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
        try:
            self._line, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [_python(), "-m", self._worker],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                )
            refusal = self._exchange(self._first, START_SECONDS)
        except (OSError, EngineError) as exc:
            raise EngineError(f"{self._name} cannot be started") from (exc.__cause__ or exc)
        if refusal:
            self._end()
        return refusal or None

    def _end(self) -> None:
        process, self._process = self._process, None
        line, self._line = self._line, None
        if line is not None:
            line.close()
        if process is not None:
            process.kill()
            process.wait()

    def _exchange(self, asked: object, seconds: float) -> dict[str, Any]:
        """Send a message and return the answer.

        Raises:
            TimeoutError: there was none in time.
            TooMuchError: the process ended because its task took too much.
            EngineError: it ended otherwise, somebody stopped it, or what came is no answer.
        """
        line, deadline = self._line, time.monotonic() + seconds
        assert line is not None
        try:
            line.settimeout(seconds)
            line.sendall(frame(asked), socket.MSG_NOSIGNAL)  # a process that is gone must not end this one
            (size,) = LENGTH.unpack(_receive(line, LENGTH.size, deadline))
            if size > self._most_bytes:
                raise ValueError(f"{size} bytes")
            answer: dict[str, Any] = json.loads(_receive(line, size, deadline))
        except TimeoutError as exc:
            if self._is_stopped():
                raise EngineError(f"{self._name} was stopped") from exc
            raise
        except OSError as exc:
            raise self._why_it_ended() from exc
        except ValueError as exc:
            raise EngineError(f"{self._name} gave what is no answer") from exc
        return answer

    def _is_stopped(self) -> bool:
        assert self._process is not None
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
        return False

    def _why_it_ended(self) -> TooMuchError | EngineError:
        """Return what the status of the process says, which closed its line."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_SECONDS)
        status = self._process.poll()
        if status in TAKEN_TOO_MUCH:
            return TooMuchError()
        logger.error("%s ended with status %s", self._name, status)
        return EngineError(f"{self._name} ended")


def _receive(line: socket.socket, count: int, deadline: float) -> bytes:
    """Return the next `count` bytes; raise ConnectionError at the end of the input, TimeoutError after the deadline."""
    got = bytearray()
    while len(got) < count:
        line.settimeout(max(0.001, deadline - time.monotonic()))  # 0 would mean not to wait at all
        piece = line.recv(min(count - len(got), 2**20))
        if not piece:
            raise ConnectionResetError
        got += piece
    return bytes(got)


def _python() -> str:
    """Return the interpreter's path. In Triton's stub, `sys.executable` may be empty or the stub itself."""
    if Path(sys.executable or "").name.startswith("python"):  # the stub is triton_python_backend_stub
        return sys.executable
    return str(Path(sys.prefix, "bin", "python3"))
