"""PrefixSharing: what a prompt takes over from earlier ones, and when it waits for another that is being read."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.sequence import SequenceState
from trimode.scheduling.prefix_cache import PAGE, PrefixCache
from trimode.scheduling.prefix_sharing import PrefixSharing, Reading, cache_of
from trimode.vision.encoded import Encoded, PromptPictures

from tests.support.arrays import Array
from tests.support.toy import EOS, MASK, VOCAB, ToyEngine

LONG = [3 + at % 40 for at in range(5 * PAGE)]


class Copies(ToyEngine):
    """Notes what is copied into slots."""

    def __init__(self) -> None:
        super().__init__()
        self.copied: list[tuple[int, int]] = []

    def copy_out(self, slot: int, start: int, count: int) -> Array:
        return np.zeros(count, dtype=np.float32)

    def copy_in(self, slot: int, start: int, entries: Array) -> None:
        self.copied.append((slot, start))


def sequence(prompt: list[int], slot: int = 0, salt: str = "", **more: Any) -> SequenceState:
    given = {"input_ids": prompt, "seed": 1, "cache_salt": salt}
    params = GenerationParams.parse(given, Defaults(VOCAB + 1, 8, EOS), **more)
    return SequenceState(params, prompt, MASK, slot=slot)


@pytest.fixture
def engine() -> Copies:
    return Copies()


def test_a_new_prompt_is_read_and_the_next_one_takes_its_pages_over(engine: Copies) -> None:
    cache = PrefixCache(2**20)
    sharing, first, second = PrefixSharing(cache, engine), sequence(LONG), sequence(LONG, slot=7)
    being_read: list[Reading] = []
    assert sharing.take_over(first, being_read)
    assert (first.cached, being_read, engine.copied) == (0, [("", LONG)], [])
    sharing.keep(first, LONG)
    assert sharing.take_over(second, [])
    assert (second.cached, second.counters.cached_tokens) == (4 * PAGE, 4 * PAGE)  # the last token is left to read
    assert engine.copied == [(7, PAGE * page) for page in range(4)]
    assert (cache.asked_tokens, cache.found_tokens) == (2 * len(LONG), 4 * PAGE)


def test_what_was_read_with_a_salt_serves_the_same_salt_alone(engine: Copies) -> None:
    sharing = PrefixSharing(PrefixCache(2**20), engine)
    sharing.keep(sequence(LONG, salt="ours"), LONG)
    for salt, found in (("", 0), ("theirs", 0), ("ours", 4 * PAGE)):
        seq = sequence(LONG, salt=salt)
        assert sharing.take_over(seq, []) and seq.cached == found


def test_a_prompt_waits_while_half_of_it_is_being_read(engine: Copies) -> None:
    sharing, half = PrefixSharing(PrefixCache(2**20), engine), len(LONG) // 2
    alike = [*LONG[:half], *[90] * half]
    assert not sharing.take_over(sequence(alike), [("", LONG)])
    assert sharing.take_over(sequence(alike), [("salt", LONG)])
    assert sharing.take_over(sequence([*LONG[: half - 1], *[90] * (half + 1)]), [("", LONG)])
    assert sharing.take_over(sequence(LONG[: 2 * PAGE]), [("", LONG)])  # too short to be worth waiting


@pytest.mark.parametrize(("budget", "reference"), [(0, False), (2**20, True)])
def test_without_a_cache_and_in_reference_mode_nothing_is_taken_over(
    engine: Copies, budget: int, reference: bool
) -> None:
    sharing, being_read = PrefixSharing(PrefixCache(budget), engine), list[Reading]()
    seq = sequence(LONG, reference=reference)
    sharing.keep(seq, LONG)
    assert sharing.take_over(seq, being_read)
    assert (seq.cached, being_read) == (0, [])


def test_a_cache_that_cannot_keep_does_not_fail_the_answer(engine: Copies, caplog: pytest.LogCaptureFixture) -> None:
    engine.copy_out = lambda *_: (_ for _ in ()).throw(RuntimeError("no memory"))  # type: ignore[method-assign]
    PrefixSharing(PrefixCache(2**20), engine).keep(sequence(LONG), LONG)
    assert "could not keep 80 tokens" in caplog.text


def test_where_pages_would_leave_a_gpu_there_are_none(engine: Copies, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert cache_of(engine, 2**20).enabled and not cache_of(engine, 0).enabled
        assert caplog.text == ""
        engine.in_host_memory = False
        assert not cache_of(engine, 2**20).enabled
    assert "the prefix cache is off" in caplog.text


def test_a_prompt_with_pictures_is_keyed_once_however_many_steps_read_it(
    engine: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed: list[list[int]] = []
    key = PromptPictures.keyed

    def noted(self: PromptPictures, tokens: list[int]) -> list[int]:
        keyed.append(tokens)
        return key(self, tokens)

    monkeypatch.setattr(PromptPictures, "keyed", noted)
    pictures = PromptPictures(np.array([1, 2]), (Encoded(np.zeros((2, 4), np.float32), -7),), np.array([2]))
    seq = sequence(LONG)
    seq.pictures = pictures
    sharing = PrefixSharing(PrefixCache(2**20), engine)
    for cached in (0, PAGE, 2 * PAGE):
        seq.mark_cached(cached)
        being_read: list[Reading] = []
        assert sharing.take_over(seq, being_read)
        assert being_read == [("", [LONG[0], -7, -7, *LONG[3:]])]
    assert keyed == [LONG]
