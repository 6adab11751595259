"""EncoderProcess: encodes with a tokenizer of unusual parts in a process of its own, which is killed at its limits.

It costs a millisecond or so a text, which the usual tokenizers are spared; parts.py says which those are.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from ...errors import Described, RequestError
from ..limited_process import LimitedProcess, TooMuchError

WORKER = "trimode.text.encoder.worker"
WALL_SECONDS = 10.0
"""Seconds of one text. The limit of processor time comes first unless the machine is far too busy, or swaps."""
MOST_BYTES = 64 * 2**20
"""Bytes of an answer: ids and places of two million tokens, more than any text of a request can have."""
TOO_MUCH = "could not be encoded by the tokenizer within the time and the memory that it may take"

logger = logging.getLogger(__name__)


class EncoderProcess(LimitedProcess):
    """A tokenizer in a process of its own. Any thread may encode; one text is encoded at a time."""

    def __init__(self, tokenizer: str, picture_ids: Sequence[int] = ()) -> None:
        """Start nothing yet; `tokenizer` is the content of its tokenizer.json, and `picture_ids` are Tokenizer's."""
        first = {"tokenizer": tokenizer, "picture_ids": list(picture_ids)}
        super().__init__(WORKER, "the process that encodes texts", first, MOST_BYTES)
        self._lock = threading.Lock()

    def encode(self, text: str, *, marked: bool, field: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the ids of `text` and the characters of each, as `Tokenizer.encode_with_offsets` does.

        Raises:
            RequestError: it takes too long or too much memory, or the library fails on it.
            EngineError: the process cannot be started, or ended for a reason that is not the tokenizer's.
        """
        with self._lock:
            try:
                reply = self._ask({"text": text, "marked": marked}, WALL_SECONDS)
            except TooMuchError as exc:
                logger.error("the tokenizer took too long or too much memory: its process was ended")
                raise RequestError(field, TOO_MUCH, Described(f"{len(text)} characters")) from exc
        if "refused" in reply:
            raise RequestError(field, reply["refused"], Described(f"{len(text)} characters"))
        return reply["ids"], [(start, end) for start, end in reply["offsets"]]

    def close(self) -> None:
        """End the process, if there is one; the next text starts another."""
        with self._lock:
            self._end()
