"""Revising: which tokens are picked, what a window holds, which changes stay, and that no pass sees a stale cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.modes import registry as modes
from trimode.decoding.modes.revise import go_on, pick
from trimode.decoding.revise_state import ReviseState
from trimode.decoding.sequence import Phase, SequenceState
from trimode.engines.base import Row
from trimode.engines.log_probs import log_probs_of

from tests.support.arrays import Array
from tests.support.toy import EOS, MASK, VOCAB, ToyEngine

FILLER = 77
CONTEXT = [3, 4, 5]
BLOCK = 8


def revision(ids: list[int], context: int = 0, **more: Any) -> ReviseState:
    """A text behind `context` tokens; all of it is reconsidered unless told otherwise."""
    allowed = np.arange(len(ids)) >= context
    chosen: dict[str, Any] = {"threshold": None, "fraction": None, "rounds": 1, "always": False, "allowed": allowed}
    return ReviseState(ids=np.array(ids), banned=(EOS,), filler=FILLER, **(chosen | more))


def sequence(work: ReviseState, context: int = 0, **more: Any) -> SequenceState:
    asked = {"text": "any", "seed": 1, "block_length": BLOCK, **more}
    params = GenerationParams.parse(asked, Defaults(VOCAB + 1, BLOCK, EOS))
    seq = SequenceState(params, work.ids[:context].tolist(), MASK, revise=work)
    if not context:
        go_on(seq)
    return seq


@dataclass
class Judged:
    """One window: where, what the text was and would have become, the score of both, and whether it stayed."""

    first: int
    end: int
    before: Array
    tried: Array
    kept: bool


@dataclass
class Watch:
    """Runs a revision, and holds every causal pass against the tokens that the slot should have."""

    engine: ToyEngine
    seq: SequenceState
    chunk: int = 99
    rows: list[Row] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)

    def fresh(self, ids: Array, position: int) -> float:
        """The log-probability of one token behind those before it, computed without a cache."""
        before = [int(token) for token in ids[:position]]
        return float(log_probs_of(self.engine.causal_logits(before)[None], ids[position : position + 1])[0])

    def mean(self, ids: Array, first: int, end: int) -> float:
        return float(np.mean([self.fresh(ids, at) for at in range(max(first, 1), end)] or [0.0]))

    def drive(self) -> Watch:
        seq, work = self.seq, self.seq.revise
        assert work is not None
        seq.slot = self.engine.allocate(block=True)
        while not seq.done:
            row, phase, before, (first, end, _) = modes.plan(seq, self.chunk), seq.phase, work.ids, work.window
            text = work.tried if phase is Phase.REVIEW else work.ids
            past = self.engine._slots[seq.slot][: row.start]
            assert past == text[: row.start].tolist(), f"a stale cache before {row.start} in {phase}"
            if row.sees == "causal":
                assert row.tokens.tolist() == text[row.start : row.start + len(row.tokens)].tolist()
            self.rows.append(row)
            tried = work.tried if phase is Phase.REVIEW else before
            modes.apply(seq, row, self.engine.run([row])[0])
            if phase is Phase.REVIEW and not (seq.phase is Phase.REVIEW and work.tried is tried):
                self.judged.append(Judged(first, end, before, tried, work.ids is tried))
            if seq.phase in (Phase.SCORE, Phase.DENOISE):
                self.check_scores(work)
        self.engine.free(seq.slot)
        return self

    def check_scores(self, work: ReviseState) -> None:
        """What is known of the text up to where the slot is right must be what a pass over it would say."""
        for at in range(max(1, self.seq.cached - 12), min(self.seq.cached + 1, len(work.ids))):
            if not np.isnan(work.log_probs[at]):
                assert work.log_probs[at] == pytest.approx(self.fresh(work.ids, at), abs=1e-9)


def watched(
    work: ReviseState, context: int = 0, *, engine: ToyEngine | None = None, chunk: int = 99, **more: Any
) -> Watch:
    return Watch(engine or ToyEngine(), sequence(work, context, **more), chunk).drive()


TEXT = [10 + at % 40 for at in range(30)]

# Picking


def picked(log_probs: list[float], **more: Any) -> list[int]:
    work = revision([10] * len(log_probs), **more)
    work.log_probs[:] = log_probs
    return [int(at) for at in pick(work)]


def test_below_the_threshold_is_picked_the_threshold_itself_is_not() -> None:
    assert picked([-1, -3, -2, -2.01], threshold=-2.0) == [1, 3]


def test_the_least_likely_share_is_picked_left_to_right() -> None:
    assert picked([-1, -3, -2, -4], fraction=0.5) == [1, 3]


@pytest.mark.parametrize(("fraction", "count"), [(0.0, 0), (0.001, 1), (0.07, 7), (0.29, 29), (0.071, 8), (1.0, 100)])
def test_a_share_is_rounded_up(fraction: float, count: int) -> None:
    assert len(picked([-1.0] * 100, fraction=fraction)) == count


def test_of_equally_likely_tokens_the_first_is_picked() -> None:
    assert picked([-1, -1, -1, -1], fraction=0.25) == [0]


def test_without_a_rule_all_that_is_allowed_is_picked_even_the_first() -> None:
    assert picked([np.nan, -1, -9], allowed=np.array([True, False, True])) == [0, 2]


def test_what_is_not_allowed_or_not_known_is_not_picked() -> None:
    allowed = np.array([True, False, True])
    assert picked([np.nan, -9, -9], threshold=-2.0, allowed=allowed) == [2]
    assert picked([np.nan, -9, -9], fraction=1.0, allowed=allowed) == [2]


# Windows


def first_window(work: ReviseState, context: int = 0) -> Row:
    return next(row for row in watched(work, context).rows if row.sees == "block")


def only(*positions: int, of: int = 30) -> Array:
    return np.isin(np.arange(of), positions)


def test_a_window_begins_one_token_before_the_first_picked() -> None:
    row = first_window(revision(TEXT, allowed=only(12, 14)))
    assert row.start == 11
    assert row.tokens.tolist() == [TEXT[11], MASK, TEXT[13], MASK, *TEXT[15:19]]
    assert (row.want.tolist(), row.sees, row.keep) == ([1, 3], "block", False)


def test_what_is_picked_near_a_windows_end_waits_for_the_next() -> None:
    rows = [row for row in watched(revision(TEXT, allowed=only(12, 16, 17, 18))).rows if row.sees == "block"]
    assert rows[0].start == 11 and rows[0].want.tolist() == [1, 5]
    assert any(row.start == 16 and 1 in row.want for row in rows)


def test_at_the_texts_end_all_that_is_picked_is_filled_and_filler_follows() -> None:
    row = first_window(revision(TEXT, allowed=only(28, 29)))
    assert row.tokens.tolist() == [TEXT[27], MASK, MASK, *[FILLER] * 5]


def test_the_very_first_token_can_be_reconsidered() -> None:
    row = first_window(revision(TEXT, allowed=only(0)))
    assert (row.start, row.tokens.tolist()) == (0, [MASK, *TEXT[1:8]])


def test_behind_a_context_the_first_token_has_the_contexts_last_before_it() -> None:
    row = first_window(revision([*CONTEXT, *TEXT], context=3), 3)
    assert (row.start, row.tokens.tolist()[:2]) == (2, [5, MASK])


def test_a_context_is_never_changed() -> None:
    watch = watched(revision([*CONTEXT, *TEXT], context=3, always=True), 3)
    assert watch.seq.revise is not None and watch.seq.revise.ids[:3].tolist() == CONTEXT
    assert len(watch.seq.tokens) == len(TEXT)
    assert watch.seq.counters.prefill_forwards == 1


def test_the_text_is_read_in_chunks() -> None:
    rows = watched(revision(TEXT, allowed=only()), chunk=7).rows
    assert [(row.start, len(row.tokens)) for row in rows] == [(0, 7), (7, 7), (14, 7), (21, 7), (28, 2)]
    assert all(row.keep and len(row.want) == len(row.tokens) for row in rows)


# What stays


def test_nothing_picked_leaves_the_text_and_ends_after_one_reading() -> None:
    watch = watched(revision(TEXT, allowed=only(), rounds=5))
    assert (watch.seq.tokens, watch.seq.finish_reason, watch.seq.counters.forwards) == (TEXT, "stop", 1)


def test_a_change_stays_only_if_it_makes_its_block_likelier() -> None:
    kept = refused = 0
    for seed in range(6):
        watch = watched(revision(TEXT, rounds=3), engine=ToyEngine(seed=seed))
        for one in watch.judged:
            gain = watch.mean(one.tried, one.first, one.end) - watch.mean(one.before, one.first, one.end)
            assert one.kept == (gain > 0)
            kept, refused = kept + one.kept, refused + (not one.kept)
    assert kept and refused, "the toy must show both"


def test_always_keeps_what_likelihood_refuses() -> None:
    watch = watched(revision(TEXT, always=True))
    gains = [
        watch.mean(one.tried, one.first, one.end) - watch.mean(one.before, one.first, one.end) for one in watch.judged
    ]
    assert all(one.kept for one in watch.judged) and min(gains) < 0


def test_a_round_without_a_change_is_the_last() -> None:
    engine = ToyEngine(hit=1.0, peak=40.0)
    best = [3, *engine.greedy([3], 20)]
    watch = watched(revision(best, rounds=9, allowed=np.arange(21) > 0), engine=engine)
    assert watch.seq.tokens == best
    assert watch.seq.revise is not None and watch.seq.revise.round == 1


def test_there_are_no_more_rounds_than_asked_for() -> None:
    watch = watched(revision(TEXT, rounds=3, always=True))
    assert watch.seq.revise is not None and watch.seq.revise.round == 3


def test_rounds_draw_anew() -> None:
    one, two = (watched(revision(TEXT, rounds=rounds, always=True), temperature=1.0) for rounds in (1, 2))
    assert one.seq.tokens != two.seq.tokens


def test_banned_ids_and_the_mask_are_never_put_in() -> None:
    class Ends(ToyEngine):
        def _block_logits(self, *args: Any) -> Array:
            logits = super()._block_logits(*args)
            logits[[EOS, MASK]] += 50
            return logits

    watch = watched(revision(TEXT, always=True, rounds=2), engine=Ends())
    assert watch.judged and not {EOS, MASK} & set(watch.seq.tokens)


def test_a_single_token_without_context_cannot_be_judged_and_stays() -> None:
    assert watched(revision([10])).seq.tokens == [10]
    assert watched(revision([10], threshold=-0.1)).judged == []


def test_counters_of_a_revision() -> None:
    engine = ToyEngine()
    counts = watched(revision(TEXT, rounds=2), engine=engine).seq.counters
    assert counts.forwards == counts.denoise_forwards + counts.score_forwards == engine.calls
    assert counts.output_tokens == len(TEXT)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(2, VOCAB), min_size=1, max_size=40),
    st.integers(0, 5),
    st.sampled_from([{"always": True}, {"threshold": -5.0}, {"fraction": 0.4}, {"fraction": 0.1, "always": True}, {}]),
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(3, 8),
    st.data(),
)
def test_no_pass_ever_sees_a_stale_cache(
    text: list[int], context: int, rule: dict[str, Any], rounds: int, chunk: int, block: int, data: st.DataObject
) -> None:
    """Watch checks every pass; what may not be touched must be as it was, and the last scores must be true."""
    ids = [*range(2, 2 + context), *text]
    allowed = np.array([at >= context and data.draw(st.booleans()) for at in range(len(ids))])
    engine = ToyEngine(seed=data.draw(st.integers(0, 9)), hit=0.3)
    work = revision(ids, context, rounds=rounds, allowed=allowed, **rule)
    watch = watched(work, context, engine=engine, chunk=chunk, block_length=block)
    after = np.array([*ids[:context], *watch.seq.tokens])
    assert (after[~allowed] == np.array(ids)[~allowed]).all()
    assert len(after) == len(ids)
    if not rule.get("always"):
        for one in watch.judged:
            gain = watch.mean(one.tried, one.first, one.end) - watch.mean(one.before, one.first, one.end)
            assert one.kept == (gain > 0)
