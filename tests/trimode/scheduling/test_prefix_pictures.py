"""The prefix cache knows a picture by what it shows: the same one is not read again, another one is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.api.answer import Chunk
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.config import ServerConfig
from trimode.decoding.sequence import SequenceState
from trimode.runtime import Runtime
from trimode.scheduling.job import Job
from trimode.scheduling.prefix_cache import PAGE
from trimode.text.answer_text import AnswerText
from trimode.vision.encoded import PromptPictures

PAD = 19
PICTURE = [18, *([PAD] * 8 + [20]) * 3, *[PAD] * 8, 21]  # 8 x 4 cells
PROMPT = [1, 104, *PICTURE, 5, 6, 7, 8]


class Shown:
    """A picture of noise."""

    cells = (8, 4)

    def __init__(self, seed: int) -> None:
        self.pixels = np.random.default_rng(seed).standard_normal((3, 112, 224)).astype(np.float32)
        self.digest = bytes([seed])


@pytest.fixture
def opened(vlm_kit: Path, bundle_of: Callable[..., Path]) -> Iterator[Callable[..., Runtime]]:
    made: list[Runtime] = []

    def open_runtime(**settings: Any) -> Runtime:
        bundle = bundle_of(vlm_kit / "checkpoints" / "plain")
        made.append(Runtime.open(replace(ServerConfig(bundle=bundle, threads=1, max_slots=4), **settings)))
        return made[-1]

    yield open_runtime
    for runtime in made:
        runtime.close()


def answer(runtime: Runtime, seed: int, prompt: list[int] = PROMPT, mode: str = "autoregressive") -> Chunk:
    """Ask with a picture; return the last chunk, which has all of the answer."""
    assert runtime.services.encoder is not None
    pictures = PromptPictures.of(prompt, PAD, runtime.services.encoder.encode([Shown(seed)]))
    defaults = Defaults(runtime.manifest.vocab_size, runtime.manifest.block_size, runtime.manifest.eos_token_id)
    given = {"input_ids": prompt, "mode": mode, "max_tokens": 12, "end_id": -1}
    params = GenerationParams.parse(given, defaults)
    seq = SequenceState(params, prompt, runtime.manifest.mask_token_id, pictures=pictures)
    chunks, done = list[Chunk](), threading.Event()

    def deliver(chunk: Chunk) -> None:
        chunks.append(chunk)
        if chunk.last:
            done.set()

    runtime.services.queue.submit(Job(seq, AnswerText(None, (), at_once=True), deliver=deliver))
    assert done.wait(120)
    assert chunks[-1].error is None
    return chunks[-1]


def test_the_same_picture_in_a_second_turn_is_neither_encoded_nor_read_again(opened: Callable[..., Runtime]) -> None:
    runtime, cold = opened(), opened(prefix_cache_mib=0)
    answer(runtime, 1)
    longer = [*PROMPT, 40, 41, 42]
    second = answer(runtime, 1, longer)
    stats = runtime.stats()
    assert (stats.encoded_pictures, stats.found_pictures) == (1, 1)
    assert second.counters.cached_tokens == len(PROMPT) // PAGE * PAGE
    assert second.token_ids == answer(cold, 1, longer).token_ids


def test_another_picture_of_the_same_size_is_read(opened: Callable[..., Runtime]) -> None:
    runtime, cold = opened(), opened(prefix_cache_mib=0)
    first, second = answer(runtime, 1), answer(runtime, 2)
    assert second.counters.cached_tokens == 0
    assert second.token_ids == answer(cold, 2).token_ids
    assert first.token_ids == answer(cold, 1).token_ids
    assert first.token_ids != second.token_ids
    assert runtime.stats().encoded_pictures == 2


@pytest.mark.parametrize("mode", ["self_speculation", "diffusion", "auto"])
@pytest.mark.parametrize("chunk", [7, 256])
def test_cache_and_chunks_change_nothing(opened: Callable[..., Runtime], mode: str, chunk: int) -> None:
    warm, cold = opened(prefill_chunk=chunk), opened(prefix_cache_mib=0)
    expected = answer(cold, 3, mode=mode).token_ids
    assert answer(warm, 3, mode=mode).token_ids == expected
    again = answer(warm, 3, mode=mode)
    assert again.token_ids == expected
    assert again.counters.cached_tokens > 0
    if mode != "diffusion":
        assert answer(cold, 3).token_ids == expected


def test_what_is_kept_of_pictures_is_bounded(opened: Callable[..., Runtime]) -> None:
    runtime = opened(picture_cache_mib=0)
    answer(runtime, 1)
    answer(runtime, 1)
    stats = runtime.stats()
    assert (stats.encoded_pictures, stats.found_pictures, stats.picture_bytes) == (2, 0, 0)
