"""The process that encodes with a tokenizer of unusual parts, within limits.

Started by process.py. It reads a tokenizer, then texts. Knows nothing of who asks.
"""

from __future__ import annotations

from typing import Any

import tokenizers

from trimode.errors import RequestError
from trimode.text.limited_worker import run, serve
from trimode.text.tokenizer import Tokenizer

PROCESSOR_SECONDS = 2.0
"""Processor time of one text; a released tokenizer takes a hundredth of it for the longest one that fits a model."""
MEMORY_BYTES = 2 * 2**30
"""Address space of the process, its own code and a vocabulary of 131,072 tokens included."""


def main() -> None:
    """Serve until the input ends."""
    encoder: Tokenizer | None = None

    def reply(message: dict[str, Any]) -> dict[str, Any]:
        nonlocal encoder
        if encoder is None:
            backend = tokenizers.Tokenizer.from_str(message["tokenizer"])
            encoder = Tokenizer(backend, None, {}, picture_ids=message["picture_ids"])
            return {}
        try:
            ids, offsets = encoder.encode_with_offsets(message["text"], marked=message["marked"])
        except RequestError as exc:
            return {"refused": exc.limit}
        return {"ids": ids, "offsets": offsets}

    serve(reply, processor_seconds=PROCESSOR_SECONDS, memory_bytes=MEMORY_BYTES)


if __name__ == "__main__":
    run(main)
