"""TemplateProcess: renders a chat template in a process of its own, which is killed when it takes too long or too much.

A template can loop 10^10 times or ask for 2 GB in one expression, and nothing within a process can stop that. The
process is started for the first chat and serves until the end. Knows no Jinja.
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
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import Described, EngineError, RequestError
from .chat_template import MOST_CHARACTERS, check_syntax
from .template_worker import LENGTH, OUT_OF_MEMORY, PROCESSOR_SECONDS, frame

WORKER = "trimode.text.template_worker"
WALL_SECONDS = 10.0
"""Seconds of one rendering. The limit of processor time comes first unless the machine is far too busy, or swaps."""
START_SECONDS = 60.0
"""Seconds for the process to come up and take the template; on a busy machine Python alone can take several."""
TRIES = 3
"""Renderings in a row that may take too long before the template is left alone for REST_SECONDS."""
REST_SECONDS = 30.0
"""Seconds for which such a template is refused untried: while it is tried, requests that come wait to be taken in."""
MOST_BYTES = 12 * MOST_CHARACTERS + 1024
"""Bytes of an answer: JSON writes a character as 12 bytes at most."""
LAST_SECONDS = 5.0
"""Seconds for a process that closed its line to end, before it is killed; its status says why it ended."""
TAKEN_TOO_MUCH = (-signal.SIGPROF, -signal.SIGXCPU, OUT_OF_MEMORY)
"""How the process ends when the template takes too much. Any other end is not the template's doing."""
THE_PROCESS = "the process that renders chat templates"
TOO_MUCH = f"could not be rendered by the chat template within {PROCESSOR_SECONDS:.0f} s and the memory it may take"

logger = logging.getLogger(__name__)


class _TooMuchError(Exception):
    """The template took more time or memory than it may."""


class TemplateProcess:
    """A template in a process of its own. Any thread may render; one rendering runs at a time."""

    def __init__(self, text: str, special: Mapping[str, str]) -> None:
        """Check the syntax; `special` are the tokens that the template may write, by name.

        Raises:
            jinja2.TemplateError: it is not a template.
        """
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._lock = threading.Lock()
        self._too_much = 0  # renderings in a row
        self._rests_until = 0.0  # of time.monotonic()
        check_syntax(text)
        self._first = {"template": text, "special": dict(special)}

    def render(self, messages: Sequence[Mapping[str, Any]], *, enable_thinking: bool, field: str) -> str:
        """Return the prompt text of `messages`, ready for the assistant's turn; `field` is where they came from.

        Raises:
            RequestError: the template refuses these messages, or takes too long or too much memory.
            EngineError: the process cannot be started, or ended for a reason that is not the template's.
        """
        asked = {"messages": list(messages), "enable_thinking": enable_thinking}
        with self._lock:
            if time.monotonic() < self._rests_until:
                raise RequestError(field, TOO_MUCH, Described(f"{len(messages)} messages"))
            try:
                reply = self._start() or self._exchange(asked, WALL_SECONDS)
            except (_TooMuchError, TimeoutError) as exc:
                self._note_too_much()
                raise RequestError(field, TOO_MUCH, Described(f"{len(messages)} messages")) from exc
            except EngineError as exc:
                self._end()
                logger.error("%s: %r", exc, exc.__cause__)
                raise
            self._too_much = 0
        if "refused" in reply:
            raise RequestError(field, reply["refused"], messages)
        return str(reply["text"])

    def close(self) -> None:
        """End the process, if there is one; the next rendering starts another."""
        with self._lock:
            self._end()

    def __del__(self) -> None:
        """End the process with the object."""
        self._end()

    def _note_too_much(self) -> None:
        self._end()
        self._too_much += 1
        logger.error("the chat template took too long or too much memory: its process was ended")
        if self._too_much >= TRIES:
            self._too_much, self._rests_until = 0, time.monotonic() + REST_SECONDS

    def _start(self) -> dict[str, Any] | None:
        """Start the process unless it runs; return its answer if it refuses the template.

        Raises:
            EngineError: it cannot be started, or does not come up in time.
            _TooMuchError: it cannot take the template within its limits.
        """
        if self._process is not None and self._process.poll() is None:
            return None
        self._end()
        paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
        try:
            self._line, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [_python(), "-m", WORKER],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                )
            refusal = self._exchange(self._first, START_SECONDS)
        except (OSError, EngineError) as exc:
            raise EngineError(f"{THE_PROCESS} cannot be started") from (exc.__cause__ or exc)
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
            _TooMuchError: the process ended because the template took too much.
            EngineError: it ended otherwise, somebody stopped it, or what came is no answer.
        """
        line, deadline = self._line, time.monotonic() + seconds
        assert line is not None
        try:
            line.settimeout(seconds)
            line.sendall(frame(asked), socket.MSG_NOSIGNAL)  # a process that is gone must not end this one
            (size,) = LENGTH.unpack(_receive(line, LENGTH.size, deadline))
            if size > MOST_BYTES:
                raise ValueError(f"{size} bytes")
            answer: dict[str, Any] = json.loads(_receive(line, size, deadline))
        except TimeoutError as exc:
            if self._is_stopped():
                raise EngineError(f"{THE_PROCESS} was stopped") from exc
            raise
        except OSError as exc:
            raise self._why_it_ended() from exc
        except ValueError as exc:
            raise EngineError(f"{THE_PROCESS} gave what is no answer") from exc
        return answer

    def _is_stopped(self) -> bool:
        assert self._process is not None
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
        return False

    def _why_it_ended(self) -> _TooMuchError | EngineError:
        """Return what the status of the process says, which closed its line."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_SECONDS)
        status = self._process.poll()
        if status in TAKEN_TOO_MUCH:
            return _TooMuchError()
        logger.error("%s ended with status %s", THE_PROCESS, status)
        return EngineError(f"{THE_PROCESS} ended")


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
