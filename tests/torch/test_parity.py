"""Every case of the parity kits through the torch engine in float32: the reference's ids, forwards and traces."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from trimode.api.answer import Chunk
from trimode.config import ServerConfig
from trimode.engines.torch.engine import TorchEngine
from trimode.runtime import Runtime

from tests.conftest import kit_folder
from tests.parity import quadratic
from tests.parity.decoding import check_case, load_cases, request_of
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
    bundle = linked(parity_kit / "checkpoints" / checkpoint)
    runtime = Runtime.open(ServerConfig(bundle=bundle, threads=1, max_slots=8, max_queue=999))
    answers: dict[tuple[str, int], Chunk] = {}
    expected: dict[tuple[str, int], list[int]] = {}
    try:
        assert isinstance(runtime.engine, TorchEngine)
        for case in load_cases(parity_kit):
            for row, tokens in enumerate(case["expected_output_ids"] if case["checkpoint"] == checkpoint else ()):
                key = (case["id"], row)
                expected[key] = tokens[: case["params"]["max_new_tokens"]]
                given = request_of(case, row, runtime.manifest)
                runtime.submit(given, partial(answers.__setitem__, key), reference=True)
        runtime.close(grace_seconds=120)
    finally:
        runtime.close()
    assert {key: chunk.token_ids[: len(expected[key])] for key, chunk in answers.items()} == expected
