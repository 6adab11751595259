"""What becomes one stage of a sequence, and what is bounded."""

from __future__ import annotations

import pytest
from trimode.tracing.request_trace import MOST_STAGES, RequestTrace, SequenceTrace

Passes = list[tuple[str, int]]


@pytest.mark.parametrize(
    ("passes", "stages"),
    [
        ([("prefill", 0), ("prefill", 1), ("decode", 1), ("decode", 1)], [("prefill", 2, 1), ("decode", 2, 2)]),
        ([("prefill", 0), ("denoise", 0), ("denoise", 8), ("commit", 0), ("denoise", 4)],
         [("prefill", 1, 0), ("denoise, commit", 3, 8), ("denoise", 1, 4)]),
        ([("prefill", 0), ("draft", 0), ("verify", 3), ("draft", 0), ("verify", 1)],
         [("prefill", 1, 0), ("draft, verify", 2, 3), ("draft, verify", 2, 1)]),
        ([("verify", 2), ("verify", 3)], [("verify", 1, 2), ("verify", 1, 3)]),
        ([("decode", 1), ("draft", 0), ("verify", 2), ("decode", 1)],
         [("decode", 1, 1), ("draft, verify", 2, 2), ("decode", 1, 1)]),
    ],
    ids=["single tokens", "blocks", "drafts", "free drafts", "of several kinds"],
)  # fmt: skip
def test_passes_are_stages(passes: Passes, stages: list[tuple[str, int, int]]) -> None:
    trace = SequenceTrace("auto")
    for kind, tokens in passes:
        trace.passed(kind, tokens)
    assert [(one.name, sum(one.kinds.values()), one.tokens) for one in trace.stages] == stages
    assert trace.stages[0].began == trace.began
    assert all(one.ended == other.began for one, other in zip(trace.stages, trace.stages[1:], strict=False))


def test_a_stage_says_what_was_drafted() -> None:
    trace = SequenceTrace("self_speculation")
    trace.passed("draft", 0)
    trace.passed("verify", 3, 7, 2)
    assert trace.stages[0].attributes == {
        "trimode.forwards": 2,
        "trimode.forwards.draft": 1,
        "trimode.forwards.verify": 1,
        "trimode.tokens": 3,
        "trimode.drafted_tokens": 7,
        "trimode.accepted_tokens": 2,
    }


def test_a_long_sequence_has_one_more_stage_for_the_rest() -> None:
    trace = SequenceTrace("self_speculation")
    for _ in range(MOST_STAGES + 50):
        trace.passed("draft", 0)
        trace.passed("verify", 2)
    assert len(trace.stages) == MOST_STAGES + 1
    assert trace.stages[-1].kinds == {"rest": 0, "draft": 50, "verify": 50} and trace.stages[-1].tokens == 100


def test_a_request_has_its_sequences() -> None:
    trace = RequestTrace("", lambda *_: None)
    assert [trace.begin("diffusion"), trace.begin("diffusion")] == trace.sequences
    assert trace.arrived <= trace.sequences[0].began
