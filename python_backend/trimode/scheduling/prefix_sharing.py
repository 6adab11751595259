"""PrefixSharing: how sequences use the prefix cache: what a prompt takes over, what it waits for, what is kept of it.

Knows the engine's slots only through `copy_in` and `copy_out`. Not thread-safe: the scheduler's thread owns it.
"""

from __future__ import annotations

import logging
from functools import partial
from weakref import WeakKeyDictionary

from ..decoding.sequence import Phase, SequenceState
from ..engines.base import Engine
from .prefix_cache import PAGE, PrefixCache

Reading = tuple[str, list[int]]
"""A prompt that is read, after its salt."""

logger = logging.getLogger(__name__)


def cache_of(engine: Engine, budget: int) -> PrefixCache:
    """Return the prefix cache of an engine, up to `budget` bytes; without pages where these would leave a GPU.

    A page that passes the host costs a copy and a wait for the GPU for every PAGE tokens, which is more than reading
    the text again.
    """
    if budget and not engine.in_host_memory:
        logger.info("the prefix cache is off: keys and values are on a GPU, and its pages are in the host's memory")
        return PrefixCache(0)
    return PrefixCache(budget)


class PrefixSharing:
    """The prefix cache and the engine whose slots it fills and is filled from."""

    def __init__(self, cache: PrefixCache, engine: Engine) -> None:
        self._cache = cache
        self._engine = engine
        self._prompts: WeakKeyDictionary[SequenceState, list[int]] = WeakKeyDictionary()  # those with pictures, keyed

    def take_over(self, seq: SequenceState, being_read: list[Reading]) -> bool:
        """Copy in what is cached of a new prompt's beginning; return False while it waits for another to read that.

        A prompt waits while another prompt is being read that begins with at least the same half.

        Args:
            being_read: prompts that are read in this step; one that does not wait is added.
        """
        if seq.phase is not Phase.PREFILL or not self._cache.enabled or seq.params.reference:
            return True
        if seq.prompt_log_probs is not None:
            return True  # every token of it has to go through the model
        salt, prompt = seq.params.cache_salt, self._prompt(seq)
        if not seq.cached:
            pages, half = self._cache.find(prompt, salt), len(prompt) // 2
            same = (other for other_salt, other in being_read if other_salt == salt)
            shared = half >= 2 * PAGE and any(other[:half] == prompt[:half] for other in same)
            if shared and PAGE * len(pages) < half:
                return False
            self._cache.count(len(prompt), len(pages))
            for number, page in enumerate(pages):
                self._engine.copy_in(seq.slot, number * PAGE, page)
            seq.mark_cached(PAGE * len(pages))
            seq.counters.cached_tokens = PAGE * len(pages)
        being_read.append((salt, prompt))
        return True

    def keep(self, seq: SequenceState, tokens: list[int]) -> None:
        """Keep what the slot holds of `tokens` for texts with the same beginning.

        A failure is logged and does not fail the answer. The engine refuses to give out what is not finite.
        """
        try:
            read = partial(self._engine.copy_out, seq.slot)
            known = tokens if seq.pictures is None else seq.pictures.keyed(tokens)
            self._cache.keep(known, read, seq.params.cache_salt)
        except Exception:
            logger.exception("the prefix cache could not keep %d tokens", len(tokens))

    def _prompt(self, seq: SequenceState) -> list[int]:
        """Return a prompt as the cache knows it: a picture by what it shows. Each step that reads asks for it."""
        if seq.pictures is None:
            return seq.prompt
        if seq not in self._prompts:
            self._prompts[seq] = seq.pictures.keyed(seq.prompt)
        return self._prompts[seq]
