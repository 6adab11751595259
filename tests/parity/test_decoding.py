"""Every case of the parity kit: same ids, same number of forwards, same intermediate states as the reference."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from trimode.api.answer import Chunk
from trimode.config import ServerConfig
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.runtime import Runtime

from tests.conftest import kit_folder
from tests.parity.decoding import batch_end, load_cases, request_of, run_row


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = load_cases(kit_folder(metafunc.config))
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])
    if "checkpoint" in metafunc.fixturenames:
        metafunc.parametrize("checkpoint", sorted({case["checkpoint"] for case in cases}))


@pytest.fixture(scope="session")
def engine_of(parity_kit: Path, bundle_of: Callable[[Path], Path]) -> Callable[[str], OnnxRuntimeEngine]:
    engines: dict[str, OnnxRuntimeEngine] = {}

    def open_engine(name: str) -> OnnxRuntimeEngine:
        if name not in engines:
            bundle = bundle_of(parity_kit / "checkpoints" / name)
            engines[name] = OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=4)
        return engines[name]

    return open_engine


def test_case(case: dict[str, Any], engine_of: Callable[[str], OnnxRuntimeEngine]) -> None:
    engine = engine_of(case["checkpoint"])
    records = [run_row(engine, case, row) for row in range(len(case["prompt_ids"]))]
    tokens = [record.tokens for record in records]
    forwards = max(record.forwards for record in records)
    if len(records) > 1 and case["mode"] == "ar":
        forwards = batch_end(tokens, engine.manifest.eos_token_id)
        tokens = [row[:forwards] for row in tokens]
    limit = case["params"]["max_new_tokens"]
    assert tokens == [row[:limit] for row in case["expected_output_ids"]]
    traces = [record.trace for record in records]
    if case["mode"] == "linear_spec":
        assert traces[0] == case["trace"]
    if case["mode"] == "diffusion":
        # The reference steps a batch until its last row is done: a block costs as many passes as its slowest row.
        forwards = 0
        for number, block in enumerate(case["trace"]):
            blocks = [trace[number] for trace in traces]
            assert [own["start"] for own in blocks] == block["start"]
            steps = list(zip_longest(*(own["steps"] for own in blocks)))
            filled = [
                [own["steps"][-1] if s is None else s for own, s in zip(blocks, step, strict=True)] for step in steps
            ]
            assert filled == block["steps"]
            forwards += len(steps) + 1
    assert forwards == case["expected_nfe"]


def test_all_cases_at_once_give_the_same_ids(
    checkpoint: str, parity_kit: Path, bundle_of: Callable[[Path], Path]
) -> None:
    """Continuous batching: all rows of all cases submitted together, mixed modes, lengths and block lengths."""
    config = ServerConfig(
        bundle=bundle_of(parity_kit / "checkpoints" / checkpoint), threads=1, max_slots=8, max_queue=999
    )
    runtime = Runtime.open(config)
    answers: dict[tuple[str, int], Chunk] = {}
    expected: dict[tuple[str, int], list[int]] = {}
    try:
        for case in load_cases(parity_kit):
            if case["checkpoint"] != checkpoint:
                continue
            for row, tokens in enumerate(case["expected_output_ids"]):
                key = (case["id"], row)
                expected[key] = tokens[: case["params"]["max_new_tokens"]]
                given = request_of(case, row, runtime.manifest)
                runtime.submit(given, partial(answers.__setitem__, key), reference=True)
        runtime.close(grace_seconds=120)
    finally:
        runtime.close()
    assert {key: chunk.token_ids[: len(expected[key])] for key, chunk in answers.items()} == expected
