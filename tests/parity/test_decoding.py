"""Every case of the parity kit: same ids, same number of forwards, same intermediate states as the reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trimode.engines.onnx.engine import OnnxRuntimeEngine

from tests.conftest import kit_folder
from tests.parity.decoding import check_at_once, check_case, load_cases


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
    check_case(engine_of(case["checkpoint"]), case)


def test_all_cases_at_once_give_the_same_ids(
    checkpoint: str, parity_kit: Path, bundle_of: Callable[[Path], Path]
) -> None:
    """Continuous batching: all rows of all cases submitted together, mixed modes, lengths and block lengths."""
    cases = [case for case in load_cases(parity_kit) if case["checkpoint"] == checkpoint]
    check_at_once(bundle_of(parity_kit / "checkpoints" / checkpoint), cases)
