"""Trial: whether a grammar can be used, found out in a process that works within limits. Knows no cache."""

from __future__ import annotations

from typing import NamedTuple

from ..text.limited_process import LimitedProcess, TooMuchError
from .refusal import bad_grammar
from .source import Source
from .worker import PROCESSOR_SECONDS

WORKER = "trimode.grammar.worker"
WALL_SECONDS = 10.0
"""Seconds of one trial. The limit of processor time comes first unless the machine is far too busy, or swaps."""
MOST_BYTES = 65_536
"""Bytes of an answer."""
THE_PROCESS = "the process that tries grammars"


class Tried(NamedTuple):
    """What a trial found: the shortest text, in tokens, None if none was; the bytes that the grammar took."""

    shortest: list[int] | None
    size: int


class Trial(LimitedProcess):
    """A process that tries one grammar after the other."""

    def __init__(self, tokenizer_json: str, size: int, end_id: int) -> None:
        """Start nothing yet; the arguments are those of a Lexicon."""
        first = {"tokenizer": tokenizer_json, "size": size, "end_id": end_id}
        super().__init__(WORKER, THE_PROCESS, first, MOST_BYTES)

    def run(self, source: Source) -> Tried:
        """Try one grammar.

        Raises:
            RequestError: it is refused, or takes more than it may.
            EngineError: the process cannot be started, or ended for a reason that is not the grammar's.
        """
        try:
            reply = self._ask(source._asdict(), WALL_SECONDS)
        except TooMuchError as exc:
            limit = f"must be compiled and followed within {PROCESSOR_SECONDS:.0f} s of processor time"
            raise bad_grammar(limit, "one that takes longer") from exc
        if "refused" in reply:
            raise bad_grammar(reply["refused"], reply["found"])
        return Tried(reply["shortest"], reply["bytes"])

    def stop(self) -> None:
        """Kill the process, from any thread; a trial that runs fails."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process, if there is one; the next trial starts another."""
        self._end()
