"""Pictures through the plans' graphs: the kit's rows and every decoding case, and the CPU's logits for every cut.

The fakes run the graphs that plans would be compiled from; nothing here was executed by TensorRT or on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.engines.base import Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.engines.tensorrt.tower import TensorRtTower
from trimode.runtime import Runtime
from trimode.vision.encoder import Encoder, open_encoder

from tests.conftest import vlm_kit_folder
from tests.parity import decoding, quadratic
from tests.parity.decoding import load_cases
from tests.parity.pictures import BUDGET, answered_together, encoder_of, expected_of, pictures_of, prepared, rows_in
from tests.support.arrays import assert_close
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import make_bundle, open_engine, open_tower

TOLERANCE = 2e-4  # of the largest stored value: the kit's own rule
CHECKPOINTS = ("plain", "yarn")
LONGEST = 16  # tokens of a draft of the kit's quadratic cases
CAPACITY = 384  # tokens: all positions of one of the checkpoints
Served = tuple[TensorRtEngine, Encoder]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = load_cases(vlm_kit_folder(metafunc.config))
        metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


@pytest.fixture(scope="module")
def planned(gpu: FakeCuda, vlm_kit: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        name: make_bundle(
            vlm_kit / "checkpoints" / name, tmp_path_factory.mktemp(name), capacity=CAPACITY, quadratic=LONGEST
        )
        for name in CHECKPOINTS
    }


@pytest.fixture(scope="module")
def served(gpu: FakeCuda, planned: dict[str, Path]) -> Iterator[dict[str, Served]]:
    found: dict[str, Served] = {}
    for name, bundle in planned.items():
        encoder = open_encoder(bundle, Manifest.load(bundle), ServerConfig(threads=1), BUDGET)
        assert encoder is not None and isinstance(encoder._tower, TensorRtTower)
        found[name] = open_engine(bundle, max_slots=2), encoder
    yield found
    for engine, encoder in found.values():
        engine.close()
        encoder.close()


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_rows(checkpoint: str, vlm_kit: Path, planned: dict[str, Path]) -> None:
    """All pictures of the kit, which differ in size, together; the largest have passes of their own."""
    stored = np.load(vlm_kit / "vision" / f"{checkpoint}.npz")
    names = sorted({key.partition("/")[0] for key in stored})
    tower = open_tower(planned[checkpoint])
    for name, rows in zip(names, tower.encode([prepared(vlm_kit, name).pixels for name in names]), strict=True):
        expected = stored[f"{name}/features"]
        np.testing.assert_allclose(rows, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
    tower.close()


def test_case(case: dict[str, Any], vlm_kit: Path, served: dict[str, Served]) -> None:
    engine, encoder = served[case["checkpoint"]]
    check = quadratic.check_case if case["mode"] == "quadratic" else decoding.check_case
    check(engine, case, pictures_of(vlm_kit, case, encoder))


@pytest.fixture(scope="module")
def on_cpu(vlm_kit: Path, bundle_of: Callable[..., Path]) -> tuple[OnnxRuntimeEngine, Encoder]:
    bundle = bundle_of(vlm_kit / "checkpoints" / "plain")
    engine = OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=2)
    assert engine.manifest.vision is not None
    return engine, encoder_of(bundle, engine.manifest.vision)


def read(slot: int, ids: np.ndarray[Any, Any], pictures: Any, start: int, count: int) -> Row:
    tokens = ids[start : start + count]
    want = np.arange(len(tokens))
    return Row(slot, tokens, start, "causal", want, keep=True, features=pictures.within(start, count))


@pytest.mark.parametrize("cut", [0, 1, 2, 7, 30, 60])
def test_a_prompt_cut_in_a_picture_beside_another(
    cut: int, vlm_kit: Path, served: dict[str, Served], on_cpu: tuple[OnnxRuntimeEngine, Encoder]
) -> None:
    """Chunks of any length, of any profile, in calls with rows that read a picture, another or none."""
    (case,) = (one for one in load_cases(vlm_kit) if one["id"] == "ar-03-plain")
    ids = np.array(case["prompt_ids"][0], dtype=np.int64)
    said = []
    for engine, encoder in (served["plain"], on_cpu):
        pictures = rows_in(vlm_kit, case["prompt_ids"][0], ["over@1400"], encoder)
        one, other = engine.allocate(block=False), engine.allocate(block=False)
        calls = engine.calls
        if cut:
            engine.run([read(one, ids, pictures, 0, cut)])
        rows = [read(one, ids, pictures, cut, 20), Row(other, ids[:5], 0, "block", np.arange(5), keep=False)]
        said.append([result.logits.copy() for result in engine.run(rows)])
        assert engine.calls == calls + 1 + bool(cut)
        said[-1].append(engine.run([read(one, ids, pictures, cut + 20, len(ids))])[0].logits.copy())
        engine.free(one)
        engine.free(other)
    for ours, theirs in zip(*said, strict=True):
        assert_close(ours, theirs)


def test_a_prompt_longer_than_any_profile_keeps_its_pictures(
    vlm_kit: Path, gpu: FakeCuda, tmp_path: Path, served: dict[str, Served]
) -> None:
    """A plan of 64 tokens at once reads 112 in two passes, each with its own part of the picture."""
    (case,) = (one for one in load_cases(vlm_kit) if one["id"] == "ar-03-plain")
    ids = np.array(case["prompt_ids"][0], dtype=np.int64)
    narrow = open_engine(make_bundle(vlm_kit / "checkpoints" / "plain", tmp_path), max_slots=2)
    said = []
    for engine in (narrow, served["plain"][0]):
        pictures = rows_in(vlm_kit, case["prompt_ids"][0], ["over@1400"], served["plain"][1])
        slot = engine.allocate(block=False)
        row = read(slot, ids, pictures, 0, len(ids))._replace(want=np.array([len(ids) - 1]))
        said.append(engine.run([row])[0].logits.copy())
        engine.free(slot)
    narrow.close()
    assert_close(*said)
    assert len(ids) > 64


def test_requests_with_pictures_share_calls_with_others(vlm_kit: Path, planned: dict[str, Path], gpu: FakeCuda) -> None:
    """All cases of a checkpoint in one scheduler, whose chunks end in pictures."""
    cases = [case for case in load_cases(vlm_kit) if case["checkpoint"] == "plain"]
    config = ServerConfig(bundle=planned["plain"], threads=1, max_slots=4, max_queue=99, prefill_chunk=9)
    runtime = Runtime.open(config)
    found = answered_together(runtime, vlm_kit, cases, seconds=240)
    for case in cases:
        right = expected_of(case)
        assert found[case["id"]][: len(right)] == right, case["id"]
