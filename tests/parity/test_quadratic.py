"""Quadratic self-speculation: every case of the kit gives the reference's ids, forwards and traces.

Run another kit that holds quadratic.json with `pytest tests/parity --parity-kit DIR`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from trimode.api.answer import Chunk
from trimode.config import ServerConfig
from trimode.decoding.modes import registry as modes
from trimode.decoding.sequence import Phase
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.runtime import Runtime

from tests.conftest import kit_folder
from tests.parity.decoding import load_cases, request_of, sequence_of

FILE = "quadratic.json"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = load_cases(kit_folder(metafunc.config), FILE)
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])
    if "checkpoint" in metafunc.fixturenames:
        metafunc.parametrize("checkpoint", sorted({case["checkpoint"] for case in cases}))


def iteration(engine: OnnxRuntimeEngine, case: dict[str, Any]) -> tuple[list[int], int, list[dict[str, Any]]]:
    """Decode a case by itself; return its ids, the forwards as the reference counts them, and the trace."""
    seq = sequence_of(engine, case, 0)
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


def test_case(case: dict[str, Any], parity_kit: Path, bundle_of: Callable[[Path], Path]) -> None:
    bundle = bundle_of(parity_kit / "checkpoints" / case["checkpoint"])
    engine = OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=1)
    tokens, forwards, trace = iteration(engine, case)
    assert tokens == case["expected_output_ids"][0][: case["params"]["max_new_tokens"]]
    shown = [{name: own[name] for name in expected} for own, expected in zip(trace, case["trace"], strict=True)]
    assert shown == case["trace"]
    assert forwards == case["expected_nfe"]


def test_all_cases_at_once_with_those_of_the_other_modes_give_the_same_ids(
    checkpoint: str, parity_kit: Path, bundle_of: Callable[[Path], Path]
) -> None:
    config = ServerConfig(
        bundle=bundle_of(parity_kit / "checkpoints" / checkpoint), threads=1, max_slots=8, max_queue=999
    )
    runtime = Runtime.open(config)
    answers: dict[tuple[str, int], Chunk] = {}
    expected: dict[tuple[str, int], list[int]] = {}
    cases = [*load_cases(parity_kit), *load_cases(parity_kit, FILE)]
    try:
        for case in cases:
            for row, tokens in enumerate(case["expected_output_ids"] if case["checkpoint"] == checkpoint else ()):
                key = (case["id"], row)
                expected[key] = tokens[: case["params"]["max_new_tokens"]]
                given = request_of(case, row, runtime.manifest)
                runtime.submit(given, partial(answers.__setitem__, key), reference=True)
        runtime.close(grace_seconds=120)
    finally:
        runtime.close()
    assert {key: chunk.token_ids[: len(expected[key])] for key, chunk in answers.items()} == expected
