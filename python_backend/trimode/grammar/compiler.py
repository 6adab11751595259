"""Compiler: grammars of requests, each compiled once and kept while there is room. Any thread may ask."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

from ..errors import RequestError
from .compiled import Compiled, compile_grammar
from .lexicon import Lexicon
from .refusal import bad_grammar
from .source import Source, grammar_text
from .trial import Trial

MOST_KEPT = 64
"""Grammars that are kept; one takes a megabyte or less, and an application has a handful."""
MOST_REFUSALS = 256
"""Refusals that are kept, so that a grammar which takes too long is tried once."""


class Compiler:
    """Compiles grammars for one tokenizer. What is slow to make is made for the first request that needs it."""

    def __init__(self, tokenizer_json: Callable[[], str], size: int, end_id: int) -> None:
        """Take what gives the text of a tokenizer.json, how many ids the model has, and the id that ends its texts."""
        self._json, self._size, self._end_id = tokenizer_json, size, end_id
        self._lock = threading.Lock()
        self._kept: OrderedDict[Source, Compiled] = OrderedDict()
        self._refusals: OrderedDict[Source, tuple[str, str]] = OrderedDict()
        self._trial: Trial | None = None

    @cached_property
    def lexicon(self) -> Lexicon:
        """The tokenizer's tokens."""
        return Lexicon(self._json(), self._size, self._end_id)

    def compile(self, source: Source) -> Compiled:
        """Return the grammar, compiled.

        Raises:
            RequestError: it is refused; see source.py, compiled.py and trial.py.
            EngineError: the process that tries grammars failed.
        """
        with self._lock:
            if source in self._kept:
                self._kept.move_to_end(source)
                return self._kept[source]
            if source in self._refusals:
                limit, value = self._refusals[source]
                raise bad_grammar(limit, value)
            try:
                if self._trial is None:
                    self._trial = Trial(self._json(), self._size, self._end_id)
                shortest = self._trial.run(source)
                made = compile_grammar(grammar_text(source), self.lexicon, shortest)
            except RequestError as exc:
                _keep(self._refusals, source, (exc.limit, exc.given), MOST_REFUSALS)
                raise
            _keep(self._kept, source, made, MOST_KEPT)
            return made

    def close(self) -> None:
        """End the process that tries grammars."""
        with self._lock:
            if self._trial is not None:
                self._trial.close()


V = TypeVar("V")


def _keep(kept: OrderedDict[Source, V], source: Source, value: V, most: int) -> None:
    kept[source] = value
    while len(kept) > most:
        kept.popitem(last=False)
