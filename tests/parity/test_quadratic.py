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
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.runtime import Runtime

from tests.conftest import kit_folder
from tests.parity.decoding import load_cases, request_of
from tests.parity.quadratic import FILE, check_case


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = load_cases(kit_folder(metafunc.config), FILE)
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])
    if "checkpoint" in metafunc.fixturenames:
        metafunc.parametrize("checkpoint", sorted({case["checkpoint"] for case in cases}))


def test_case(case: dict[str, Any], parity_kit: Path, bundle_of: Callable[[Path], Path]) -> None:
    bundle = bundle_of(parity_kit / "checkpoints" / case["checkpoint"])
    check_case(OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=1), case)


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
