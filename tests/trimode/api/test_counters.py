"""Counters and chunks: sums, ratios, names on the wire."""

from __future__ import annotations

import pytest
from trimode.api.answer import Chunk
from trimode.api.counters import Counters
from trimode.errors import CancelledError

FULL = Counters(
    prefill_forwards=1,
    decode_forwards=2,
    draft_forwards=3,
    denoise_forwards=4,
    verify_forwards=5,
    commit_forwards=6,
    score_forwards=7,
    cached_tokens=9,
    total_draft_tokens=8,
    total_accepted_draft_tokens=2,
    max_draft_tokens=7,
    accepted_prediction_tokens=1,
    rejected_prediction_tokens=4,
    accepted_prompt_lookup_tokens=0,
    rejected_prompt_lookup_tokens=2,
    output_tokens=60,
)


def test_forwards_count_every_pass_after_the_prefill() -> None:
    assert FULL.forwards == 2 + 3 + 4 + 5 + 6 + 7


def test_cycles_count_a_draft_and_its_verification_once() -> None:
    assert FULL.cycles == 2 + 4 + 5 + 6 + 7


def test_verifications_are_counted_by_what_they_confirmed() -> None:
    one, two = Counters(), Counters()
    one.verified(7, 2)
    one.verified(7, 0)
    one.verified(3, 2)
    two.verified(7, 4)
    assert (one.acceptance, two.acceptance) == ((1, 0, 2), (0, 0, 0, 0, 1))
    assert (one.verify_forwards, one.total_draft_tokens, one.total_accepted_draft_tokens) == (3, 17, 4)
    assert (one + two).acceptance == (two + one).acceptance == (1, 0, 2, 0, 1)
    assert (one + two).verify_forwards == 4
    assert (one.max_draft_tokens, (one + two).max_draft_tokens, Counters().max_draft_tokens) == (7, 7, 0)


def test_free_drafts_are_counted_by_their_source_and_with_all_others() -> None:
    counters = Counters()
    counters.verified(7, 2)
    counters.verified(7, 5, "prediction")
    counters.verified(3, 1, "prompt_lookup")
    assert (counters.total_draft_tokens, counters.total_accepted_draft_tokens) == (17, 8)
    assert (counters.accepted_prediction_tokens, counters.rejected_prediction_tokens) == (5, 2)
    assert (counters.accepted_prompt_lookup_tokens, counters.rejected_prompt_lookup_tokens) == (1, 2)


def test_ratios() -> None:
    assert (FULL.tokens_per_forward, FULL.tokens_per_cycle, FULL.acceptance_rate) == (60 / 27, 60 / 24, 0.25)


def test_ratios_of_nothing_are_zero() -> None:
    nothing = Counters()
    assert (nothing.tokens_per_forward, nothing.tokens_per_cycle, nothing.acceptance_rate) == (0, 0, 0)


def test_the_wire_gets_every_counter_and_ratio() -> None:
    assert FULL.as_dict() == {
        "prefill_forwards": 1,
        "decode_forwards": 2,
        "draft_forwards": 3,
        "denoise_forwards": 4,
        "verify_forwards": 5,
        "commit_forwards": 6,
        "score_forwards": 7,
        "cached_tokens": 9,
        "image_tokens": 0,
        "total_draft_tokens": 8,
        "total_accepted_draft_tokens": 2,
        "max_draft_tokens": 7,
        "accepted_prediction_tokens": 1,
        "rejected_prediction_tokens": 4,
        "accepted_prompt_lookup_tokens": 0,
        "rejected_prompt_lookup_tokens": 2,
        "output_tokens": 60,
        "forwards": 27,
        "tokens_per_forward": 60 / 27,
        "tokens_per_cycle": 60 / 24,
        "acceptance_rate": 0.25,
    }


@pytest.mark.parametrize(
    ("chunk", "last"),
    [(Chunk("a"), False), (Chunk(finish_reason="stop"), True), (Chunk(error=CancelledError("away")), True)],
)
def test_the_last_chunk_has_a_reason_or_an_error(chunk: Chunk, last: bool) -> None:
    assert chunk.last is last
