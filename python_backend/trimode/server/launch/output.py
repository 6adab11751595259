"""Output that stops nobody: a thread writes it, and what nobody reads is dropped and counted.

A pipe takes 64 KiB while its reader sleeps, as `| less` does. A write that waited for it on the event loop would stop
HTTP, gRPC and the supervisor. Knows files, nothing of what is written.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

MOST_BYTES = 2**20  # that wait to be written; a start of Triton logs 3 KB
RETRY_SECONDS = 0.05  # until a file that somebody made non-blocking is tried again
DROPPED = "{} lines of the log were dropped, nobody read them"
LAST_SECONDS = 1.0  # for what waits to be written when the server ends; who reads nothing gets no more


def plain_note(lines: int) -> bytes:
    """Return the line that says how many `lines` were dropped."""
    return f"trimode-serve: {DROPPED.format(lines)}\n".encode()


class Output(io.RawIOBase):
    """A binary file that takes everything at once, up to MOST_BYTES, and writes it to the descriptor `file`.

    Where bytes do not fit any more, whole writes are dropped. A line in their place says how many lines they had.
    """

    def __init__(self, file: int, note: Callable[[int], bytes] = plain_note) -> None:
        """Write to the descriptor `file`; `note` makes the line about so many dropped ones."""
        self._file = file
        self._note = note
        self._waiting: list[bytes] = []
        self._bytes = 0  # that wait or are being written
        self._dropped = 0  # lines since the last that was taken
        self._changed = threading.Condition()
        # A daemon, since nothing ends a write that waits for a reader.
        threading.Thread(target=self._write_on, name="output", daemon=True).start()

    def writable(self) -> bool:
        """Return True: files have this."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._file

    def write(self, data: Buffer) -> int:
        """Take `data` without waiting, or drop it."""
        taken = bytes(data)
        with self._changed:
            if self._dropped or self._bytes + len(taken) > MOST_BYTES:
                self._dropped += taken.count(b"\n")
            else:
                self._waiting.append(taken)
                self._bytes += len(taken)
            self._changed.notify_all()
        return len(taken)

    def wait_written(self, seconds: float) -> bool:
        """Wait until nothing is to be written any more, at most so long; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._bytes or self._dropped), seconds)

    def _write_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._dropped)
                if not self._waiting:  # all that came before the dropped lines is written
                    note = self._note(self._dropped)
                    self._waiting, self._dropped = [note], 0
                    self._bytes += len(note)
                part, self._waiting = b"".join(self._waiting), []
            _write_all(self._file, part)
            with self._changed:
                self._bytes -= len(part)
                self._changed.notify_all()


def _write_all(file: int, data: bytes) -> None:
    """Write all of it; what cannot be written, to a full disk say, is lost."""
    while data:
        try:
            data = data[os.write(file, data) :]
        except BlockingIOError:
            time.sleep(RETRY_SECONDS)
        except OSError:
            return


@contextlib.contextmanager
def output_aside(note: Callable[[int], bytes] = plain_note) -> Iterator[None]:
    """Let sys.stdout and sys.stderr be Outputs inside the block, where they have a descriptor. `note`: see Output."""
    before = sys.stdout, sys.stderr
    outputs: list[Output] = []
    sys.stdout, sys.stderr = aside = (_aside(file, outputs, note) for file in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        deadline = time.monotonic() + LAST_SECONDS
        for file in aside:
            with contextlib.suppress(OSError):
                file.flush()
        for output in outputs:
            output.wait_written(max(deadline - time.monotonic(), 0))


def _aside(file: TextIO, outputs: list[Output], note: Callable[[int], bytes]) -> TextIO:
    try:
        descriptor = file.fileno()
        file.flush()
    except (AttributeError, OSError, ValueError):  # none, closed, or one that a test holds in memory
        return file
    outputs.append(made := Output(descriptor, note))
    return io.TextIOWrapper(io.BufferedWriter(made), file.encoding, "backslashreplace", line_buffering=True)
