"""PrefixSharing: how sequences use the prefix cache: what a prompt takes over, what it waits for, what is kept of it.

Knows the engine's slots only through `copy_in` and `copy_out`. Not thread-safe: the scheduler's thread owns it.
"""

from __future__ import annotations

import logging

from ..decoding.sequence import Phase, SequenceState
from ..engines.base import Engine
from .prefix_cache import PAGE, PrefixCache

logger = logging.getLogger(__name__)


class PrefixSharing:
    """The prefix cache and the engine whose slots it fills and is filled from."""

    def __init__(self, cache: PrefixCache, engine: Engine) -> None:
        self._cache = cache
        self._engine = engine

    def must_wait(self, seq: SequenceState, begun: list[list[int]]) -> bool:
        """Take over what is known of a new prompt's beginning; or wait, while another is reading half of it or more.

        Args:
            begun: prompts that are being read in this step; a prompt that does not wait is added.
        """
        if seq.phase is not Phase.PREFILL or not self._cache.enabled or seq.params.reference:
            return False
        if not seq.cached:
            pages, half = self._cache.find(seq.prompt), len(seq.prompt) // 2
            shared = half >= 2 * PAGE and any(other[:half] == seq.prompt[:half] for other in begun)
            if shared and PAGE * len(pages) < half:
                return True
            self._cache.count(len(seq.prompt), len(pages))
            for number, page in enumerate(pages):
                self._engine.copy_in(seq.slot, number * PAGE, page)
            seq.cache(PAGE * len(pages))
            seq.counters.cached_tokens = PAGE * len(pages)
        begun.append(seq.prompt)
        return False

    def keep(self, seq: SequenceState, tokens: list[int]) -> None:
        """Keep what the slot holds of `tokens` for texts that begin alike; an answer does not fail for want of that."""
        try:
            self._cache.keep(tokens, lambda start, count: self._engine.copy_out(seq.slot, start, count))
        except Exception:
            logger.exception("the prefix cache could not keep %d tokens", len(tokens))
