"""Compiler: grammars of requests, each compiled once and kept while there is room. Any thread may ask."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from ..errors import CancelledError, RequestError
from .compiled import Compiled, compile_grammar
from .lexicon import Lexicon
from .need import most_needed
from .refusal import bad_grammar
from .source import Source, grammar_text
from .trial import Trial

MOST_KEPT = 64
"""Grammars that are kept; an application has a handful."""
MOST_BYTES_KEPT = 64 * 2**20
"""Bytes of these together, as they are counted: usual ones take a megabyte or less when they are tried."""
MOST_BYTES_GROWN = 16 * 2**20
"""Bytes of the states that answers went through from which a grammar is compiled afresh, which leaves them out."""
MOST_REFUSALS = 256
"""Refusals that are kept, so that a grammar which takes too long is tried once."""


class Compiler:
    """Compiles grammars for one tokenizer. What is slow to make is made for the first request that needs it."""

    def __init__(self, tokenizer_json: Callable[[], str], size: int, end_id: int) -> None:
        """Take what gives the text of a tokenizer.json, how many ids the model has, and the id that ends its texts."""
        self._json, self._size, self._end_id = tokenizer_json, size, end_id
        self._lock = threading.Lock()  # guards what is kept, for moments alone
        self._trying = threading.Lock()  # held while one grammar is tried and compiled, which can take seconds
        self._closed = False
        self._kept: OrderedDict[Source, Compiled] = OrderedDict()
        self._refusals: OrderedDict[Source, tuple[str, str]] = OrderedDict()
        self._trial: Trial | None = None

    @cached_property
    def lexicon(self) -> Lexicon:
        """The tokenizer's tokens."""
        return Lexicon(self._json(), self._size, self._end_id)

    def knows(self, source: Source) -> bool:
        """Whether `compile` has its answer at once."""
        with self._lock:
            made = self._kept.get(source)
            return source in self._refusals or (made is not None and made.grown_bytes <= MOST_BYTES_GROWN)

    @property
    def kept_bytes(self) -> int:
        """What the grammars that are kept take, as it is counted."""
        with self._lock:
            return sum(made.counted_bytes for made in self._kept.values())

    def compile(self, source: Source) -> Compiled:
        """Return the grammar, compiled; one that is not known waits for others that are being compiled.

        Raises:
            RequestError: it is refused; see source.py, compiled.py and trial.py.
            EngineError: the process that tries grammars failed.
            CancelledError: the compiler was closed.
        """
        if (known := self._known(source)) is not None:
            return known
        with self._trying:
            if (known := self._known(source)) is not None:
                return known
            if self._closed:
                raise CancelledError("the server is shutting down")
            try:
                made = self._renewed(source) or self._tried(source)
            except RequestError as exc:
                with self._lock:
                    _keep(self._refusals, source, (exc.limit, exc.given), MOST_REFUSALS)
                raise
            with self._lock:
                _keep(self._kept, source, made, MOST_KEPT)
                self._make_room()
            return made

    def _renewed(self, source: Source) -> Compiled | None:
        """Return a grammar that is kept, compiled afresh; it was tried before."""
        with self._lock:
            made = self._kept.get(source)
        if made is None:
            return None
        return replace(
            compile_grammar(grammar_text(source), self.lexicon, made.shortest), need=made.need, size=made.size
        )

    def _tried(self, source: Source) -> Compiled:
        if self._trial is None:
            self._trial = Trial(self._json(), self._size, self._end_id)
        tried = self._trial.run(source)
        made = compile_grammar(grammar_text(source), self.lexicon, tried.shortest)
        return replace(made, need=most_needed(source, tried.shortest), size=tried.size)

    def _known(self, source: Source) -> Compiled | None:
        """Return a grammar that is kept and not to be renewed; raise the refusal that is kept."""
        with self._lock:
            if source in self._refusals:
                limit, value = self._refusals[source]
                raise bad_grammar(limit, value)
            made = self._kept.get(source)
            if made is None or made.grown_bytes > MOST_BYTES_GROWN:
                return None
            self._kept.move_to_end(source)
            self._make_room()
            return made

    def _make_room(self) -> None:
        """Drop grammars that were not asked for longest, until those left take what they may; the last one stays."""
        while len(self._kept) > 1 and sum(made.counted_bytes for made in self._kept.values()) > MOST_BYTES_KEPT:
            self._kept.popitem(last=False)

    def close(self) -> None:
        """End the process that tries grammars, and what it tries."""
        self._closed = True
        if self._trial is not None:
            self._trial.stop()
        with self._trying:
            if self._trial is not None:
                self._trial.close()


V = TypeVar("V")


def _keep(kept: OrderedDict[Source, V], source: Source, value: V, most: int) -> None:
    kept[source] = value
    while len(kept) > most:
        kept.popitem(last=False)
