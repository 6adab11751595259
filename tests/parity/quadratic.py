"""Runs one case of quadratic self-speculation pass by pass, and records what the kit records."""

from __future__ import annotations

from typing import Any

from trimode.decoding.modes import registry as modes
from trimode.decoding.sequence import Phase
from trimode.engines.base import Engine
from trimode.vision.encoded import PromptPictures

from tests.parity.decoding import sequence_of

FILE = "quadratic.json"


def iteration(
    engine: Engine, case: dict[str, Any], pictures: PromptPictures | None = None
) -> tuple[list[int], int, list[dict[str, Any]]]:
    """Decode a case by itself; return its ids, the forwards as the reference counts them, and the trace."""
    seq = sequence_of(engine, case, 0, pictures)
    length, forwards, trace = case["params"]["block_length"], 0, list[dict[str, Any]]()
    try:
        while not seq.done:
            phase = seq.phase
            plan = modes.plan(seq, prefill_chunk=1 << 20)
            result = engine.run([plan])[0]
            forwards += 1
            if phase is Phase.VERIFY:
                ids = result.logits.argmax(axis=-1).tolist()
                heads, masks = ids[:length], ids[length:]
                groups = [masks[j * (length - 1) : (j + 1) * (length - 1)] for j in range(length)]
                draft = plan.tokens[:length].tolist()
                agree = [draft[j + 1] == heads[j] for j in range(length - 1)]
                trace.append(
                    {
                        "draft": draft,
                        "verify": heads,
                        "accepted": agree.index(False) + 1 if False in agree else length,
                        "predictions": [[head, head, *group] for head, group in zip(heads, groups, strict=True)],
                    }
                )
            modes.apply(seq, plan, result)
    finally:
        engine.free(seq.slot)
    return list(seq.tokens), forwards, trace


def check_case(engine: Engine, case: dict[str, Any], pictures: PromptPictures | None = None) -> None:
    """Decode `case` on `engine`; ids, forwards and traces must be the reference's."""
    tokens, forwards, trace = iteration(engine, case, pictures)
    assert tokens == case["expected_output_ids"][0][: case["params"]["max_new_tokens"]]
    shown = [{name: own[name] for name in expected} for own, expected in zip(trace, case["trace"], strict=True)]
    assert shown == case["trace"]
    assert forwards == case["expected_nfe"]
