"""The process that renders chat templates: a checkpoint's template is code of strangers, so it runs within limits.

Started by process.py. It reads a template, then requests. Knows nothing of tokens or of who asks.
"""

from __future__ import annotations

from typing import Any

from trimode.errors import RequestError
from trimode.text.chat_template import ChatTemplate, reason_of
from trimode.text.limited_worker import run, serve

PROCESSOR_SECONDS = 1.0
"""Processor time of one rendering; shipped templates take a thousandth of it for a long chat."""
MEMORY_BYTES = 512 * 2**20
"""Address space of the process, its own code included: the largest body of a request 16 times over fits in."""


def answer(template: ChatTemplate, asked: dict[str, Any]) -> dict[str, Any]:
    """Render one request; the answer holds its text, or what is wrong with it."""
    try:
        messages, tools = asked["messages"], asked["tools"]
        return {"text": template.render(messages, enable_thinking=asked["enable_thinking"], field="", tools=tools)}
    except RequestError as exc:
        return {"refused": exc.limit}


def main() -> None:
    """Serve until the input ends."""
    template: ChatTemplate | None = None

    def reply(message: dict[str, Any]) -> dict[str, Any]:
        nonlocal template
        if template is not None:
            return answer(template, message)
        try:
            template = ChatTemplate(message["template"], message["special"])
        except Exception as exc:  # the compiler computes what is constant, and that may fail in any way
            return {"refused": f"needs a chat template that can be compiled: {reason_of(exc)}"}
        return {}

    serve(reply, processor_seconds=PROCESSOR_SECONDS, memory_bytes=MEMORY_BYTES)


if __name__ == "__main__":
    run(main)
