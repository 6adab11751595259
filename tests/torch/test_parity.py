"""Every case of the parity kits through the torch engine in float32: the reference's ids, forwards and traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trimode.engines.torch.engine import TorchEngine

from tests.conftest import kit_folder
from tests.parity import quadratic
from tests.parity.decoding import check_at_once, check_case, load_cases
from tests.torch.conftest import Linked, Opened

CHECKPOINTS = ("plain", "wide", "yarn")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    kit = kit_folder(metafunc.config)
    for name, file in (("case", "cases.json"), ("own_mask_case", quadratic.FILE)):
        if name in metafunc.fixturenames:
            cases = load_cases(kit, file)
            metafunc.parametrize(name, cases, ids=[case["id"] for case in cases])


@pytest.fixture(scope="module")
def engines(opened: Opened) -> dict[str, TorchEngine]:
    return {name: opened(name, capacity=None) for name in CHECKPOINTS}


def test_case(case: dict[str, Any], engines: dict[str, TorchEngine]) -> None:
    check_case(engines[case["checkpoint"]], case)


def test_quadratic_case(own_mask_case: dict[str, Any], engines: dict[str, TorchEngine]) -> None:
    quadratic.check_case(engines[own_mask_case["checkpoint"]], own_mask_case)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_all_cases_at_once_give_the_same_ids(checkpoint: str, parity_kit: Path, linked: Linked) -> None:
    """Continuous batching: all rows of all cases submitted together, mixed modes, lengths and block lengths."""
    cases = [case for case in load_cases(parity_kit) if case["checkpoint"] == checkpoint]
    assert check_at_once(linked(parity_kit / "checkpoints" / checkpoint), cases) is TorchEngine
