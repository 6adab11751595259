"""What a process that works within limits does: it reads messages, answers each within its processor time, and ends.

limited_process.py starts it and kills it when it takes too long. Knows nothing of what is asked.
"""

from __future__ import annotations

import json
import resource
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

OUT_OF_MEMORY = 3
"""Status of a process that had no memory left outside of its task: to read a request or to write its answer."""
LENGTH = struct.Struct(">I")
"""In front of each message: its length in bytes."""

Answer = Callable[[Any], dict[str, Any]]


def read(stream: BinaryIO) -> Any:
    """Return the next message; None at the end of the input."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return json.loads(stream.read(LENGTH.unpack(head)[0]))


def frame(message: object) -> bytes:
    """Return a message as it is sent: its length, then its JSON."""
    body = json.dumps(message).encode()
    return LENGTH.pack(len(body)) + body


def serve(answer: Answer, *, processor_seconds: float, memory_bytes: int) -> None:
    """Answer one message after the other until the input ends.

    Args:
        processor_seconds: of one answer; the kernel ends the process after that, also inside a loop in C.
        memory_bytes: address space of the process, its own code included.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process with its input
    asked, out = sys.stdin.buffer, sys.stdout.buffer
    while (message := read(asked)) is not None:
        signal.setitimer(signal.ITIMER_PROF, processor_seconds)
        reply = answer(message)
        signal.setitimer(signal.ITIMER_PROF, 0)
        out.write(frame(reply))
        out.flush()


def run(main: Callable[[], None]) -> None:
    """Run a worker's `main`; a lack of memory ends the process with OUT_OF_MEMORY."""
    try:
        main()
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
