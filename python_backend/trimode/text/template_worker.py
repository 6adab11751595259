"""The process that renders chat templates: a checkpoint's template is code of strangers, so it runs within limits.

Started by template_process.py, which kills it when it takes too long. It reads a template, then requests, one after
the other, and ends with its input. Knows nothing of tokens or of who asks.
"""

from __future__ import annotations

import json
import resource
import signal
import struct
import sys
from typing import Any, BinaryIO

from trimode.errors import RequestError
from trimode.text.chat_template import ChatTemplate, reason_of

PROCESSOR_SECONDS = 1.0
"""Processor time of one rendering; shipped templates take a thousandth of it for a long chat."""
MEMORY_BYTES = 512 * 2**20
"""Address space of the process, its own code included: the largest body of a request 16 times over fits in."""
OUT_OF_MEMORY = 3
"""Status of a process that had no memory left outside of the template: to read a request or to write its answer."""
LENGTH = struct.Struct(">I")
"""In front of each message: its length in bytes."""


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


def answer(template: ChatTemplate, asked: dict[str, Any]) -> dict[str, Any]:
    """Render one request; the answer holds its text, or what is wrong with it."""
    try:
        return {"text": template.render(asked["messages"], enable_thinking=asked["enable_thinking"], field="")}
    except RequestError as exc:
        return {"refused": exc.limit}


def main() -> None:
    """Serve until the input ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process with its input
    asked, out = sys.stdin.buffer, sys.stdout.buffer
    template: ChatTemplate | None = None
    while (message := read(asked)) is not None:
        # The kernel ends this process when the time is up, also inside a loop in C and when nobody waits any more.
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
        reply: dict[str, Any] = {}
        if template is not None:
            reply = answer(template, message)
        else:
            try:
                template = ChatTemplate(message["template"], message["special"])
            except Exception as exc:  # the compiler computes what is constant, and that may fail in any way
                reply = {"refused": f"needs a chat template that can be compiled: {reason_of(exc)}"}
        signal.setitimer(signal.ITIMER_PROF, 0)
        out.write(frame(reply))
        out.flush()


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
