"""Quadratic self-speculation: every case of the kit gives the reference's ids, forwards and traces.

Run another kit that holds quadratic.json with `pytest tests/parity --parity-kit DIR`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trimode.engines.onnx.engine import OnnxRuntimeEngine

from tests.conftest import kit_folder
from tests.parity.decoding import check_at_once, load_cases
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
    cases = [*load_cases(parity_kit), *load_cases(parity_kit, FILE)]
    own = [case for case in cases if case["checkpoint"] == checkpoint]
    check_at_once(bundle_of(parity_kit / "checkpoints" / checkpoint), own)
