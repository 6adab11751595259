"""Whole decodings give the ids of the reference and of the ONNX Runtime engine, in every mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.api.answer import Chunk
from trimode.config import ServerConfig
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.engines.tensorrt.logits import LogitsStore
from trimode.runtime import Runtime

from tests.parity.decoding import load_cases, run_row
from tests.support.devices import FLAT
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import make_bundle, open_engine
from tests.support.toy import toy_curve

NANO = Path(__file__).parents[5] / "checkpoints" / "nano"


@pytest.mark.parametrize("checkpoint", ["plain", "yarn", "wide"])
def test_parity_cases(
    checkpoint: str, gpu: FakeCuda, parity_kit: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each of the kit's cases gives the ids that the reference implementation gave, in all three modes."""
    bundle = make_bundle(parity_kit / "checkpoints" / checkpoint, tmp_path_factory.mktemp(checkpoint))
    engine = open_engine(bundle, max_slots=2)
    try:
        for case in load_cases(parity_kit):
            if case["checkpoint"] != checkpoint:
                continue
            for number, expected in enumerate(case["expected_output_ids"]):
                limit = case["params"]["max_new_tokens"]
                assert run_row(engine, case, number).tokens[:limit][: len(expected)] == expected[:limit], case["id"]
    finally:
        engine.close()


@pytest.fixture
def runtimes(gpu: FakeCuda, bundle: Path, parity_kit: Path, bundle_of: Callable[..., Path]) -> Iterator[list[Runtime]]:
    bundles = [bundle, bundle_of(parity_kit / "checkpoints" / "plain")]
    config = ServerConfig(threads=1, max_slots=4, max_queue=99, prefill_chunk=48)
    opened = [Runtime.open(ServerConfig(**{**vars(config), "bundle": bundle})) for bundle in bundles]
    assert [type(runtime.engine).__name__ for runtime in opened] == ["TensorRtEngine", "OnnxRuntimeEngine"]
    yield opened
    for runtime in opened:
        runtime.close()


def requests() -> list[dict[str, Any]]:
    rng = np.random.default_rng(4)
    asked: list[dict[str, Any]] = []
    for seed in (0, 3):
        prompt = rng.integers(101, 128, 5 + 17 * seed).tolist()
        shared = {"input_ids": prompt, "max_tokens": 40, "end_id": -1}
        asked += [
            {**shared, "mode": "autoregressive"},
            {**shared, "mode": "diffusion", "threshold": 0.7},
            {**shared, "mode": "diffusion", "denoise_steps": 3, "reveal": "entropy", "block_length": 16},
            {**shared, "mode": "diffusion", "revise_rounds": 1, "denoise_steps": 8},
            {**shared, "mode": "self_speculation"},
            {**shared, "mode": "self_speculation", "temperature": 0.9, "top_p": 0.9, "seed": seed},
            {**shared, "mode": "autoregressive", "temperature": 0.9, "seed": seed, "return_log_probs": True},
            {**shared, "mode": "autoregressive", "repetition_penalty": 1.3},
        ]
    return asked


def test_requests_of_all_modes_at_once_give_the_cpus_ids(runtimes: list[Runtime]) -> None:
    answers: list[dict[int, Chunk]] = [{}, {}]
    for runtime, found in zip(runtimes, answers, strict=True):
        for number, given in enumerate(requests()):
            runtime.submit(given, partial(found.__setitem__, number))
        runtime.close(grace_seconds=120)
    for number, given in enumerate(requests()):
        ours, theirs = (found[number] for found in answers)
        assert ours.error is None and theirs.error is None
        assert ours.token_ids == theirs.token_ids, given
        assert len(ours.token_ids) == 40
        np.testing.assert_allclose(ours.log_probs, theirs.log_probs, atol=1e-3)


def test_auto_gives_the_autoregressive_ids(engine: TensorRtEngine) -> None:
    runtime = Runtime(engine, None, ServerConfig(max_slots=4), curve=toy_curve())
    runtime.engine = Unclosed()  # type: ignore[assignment]
    try:
        for given in requests()[::8]:
            plain = runtime.generate({**given, "mode": "autoregressive"}).token_ids
            assert runtime.generate({**given, "mode": "auto"}).token_ids == plain
    finally:
        runtime.close()


def test_auto_takes_quadratic_passes_on_a_plan_that_holds_them(
    gpu: FakeCuda, parity_kit: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every pass is stored as a whole there, so that none begins where the cache has no room for it."""
    folder = tmp_path_factory.mktemp("auto")
    bundle = make_bundle(parity_kit / "checkpoints" / "plain", folder, capacity=384, quadratic=8)
    opened = open_engine(bundle, max_slots=2)
    runtime = Runtime(opened, None, ServerConfig(max_slots=2), curve=FLAT)
    taken: dict[str, int] = {}
    try:
        for prompt, most in ((20, 60), (20, 60), (290, 94)):
            given = {"input_ids": [101 + at % 20 for at in range(prompt)], "max_tokens": most, "end_id": -1}
            plain = runtime.generate({**given, "mode": "autoregressive"}).token_ids
            chunk = runtime.generate({**given, "mode": "auto"})
            assert chunk.token_ids == plain and chunk.auto is not None
            taken |= chunk.auto.cycles
    finally:
        runtime.close()
    assert any(name.startswith("quadratic/") for name in taken)


class Unclosed:
    """What a runtime closes in the place of an engine that others still use."""

    calls = 0

    def close(self) -> None:
        pass


QUESTION = "Turn this into JSON: Anna Rossi is 24 years old, lives in Lima and works as a sailor."
LEFT, RIGHT = '{\n  "name": "Anna Rossi",\n  "age": ', ',\n  "city": "Lima",\n  "job": "sailor"\n}'


@pytest.mark.slow
@pytest.mark.subprocess  # an instruction is rendered in a process of its own
def test_gaps_and_revisions_of_the_shipped_checkpoint_are_the_cpus(
    gpu: FakeCuda, bundle_of: Callable[..., Path], tmp_path: Path
) -> None:
    """Passes that begin in front of what a slot holds, and are not kept, must not touch it."""
    bundles = [make_bundle(NANO, tmp_path, capacity=512), bundle_of(NANO)]
    asked: list[dict[str, Any]] = [
        {"text_input": LEFT, "suffix": RIGHT, "instruction": QUESTION, "return_candidates": True},
        {"text": LEFT + "42" + RIGHT, "instruction": QUESTION},
        {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 64},
    ]
    answers = []
    for bundle in bundles:
        runtime = Runtime.open(ServerConfig(bundle=bundle, threads=1, max_slots=8))
        answers.append([runtime.generate(one) for one in asked])
        runtime.close()
    for ours, theirs in zip(*answers, strict=True):
        assert (ours.text, ours.finish_reason, ours.edits) == (theirs.text, theirs.finish_reason, theirs.edits)
    tried = [{(one.size, one.mode): one for one in answer[0].candidates[0]} for answer in answers]
    both = tried[0].keys() & tried[1].keys()  # several sizes give one text, and rounding says which are tried further
    assert len(both) > 5
    for key in both:
        ours, theirs = (found[key] for found in tried)
        assert ours.text == theirs.text
        assert ours.score == pytest.approx(theirs.score, abs=1e-4)


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "autoregressive"},
        {"mode": "diffusion"},
        {"mode": "diffusion", "reveal": "steps", "denoise_steps": 4},
        {"mode": "self_speculation"},
        {"mode": "self_speculation", "threshold": 0.8},
        {"mode": "auto"},
        {"mode": "autoregressive", "return_log_probs": True},
        {"mode": "diffusion", "return_log_probs": True},
        {"mode": "self_speculation", "return_log_probs": True},
        {"mode": "diffusion", "stream": True, "stream_provisional": True},
    ],
)
def test_greedy_modes_fetch_no_logits_and_wait_once_a_pass(
    fields: dict[str, Any], runtimes: list[Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("logits were fetched from the GPU")

    for name in ("_fetch", "_fetch_kept"):
        monkeypatch.setattr(LogitsStore, name, refused)
    engine, waits = runtimes[0].engine, list[int]()
    assert isinstance(engine, TensorRtEngine)
    calls, wait = engine.calls, engine._cuda.wait

    def counted() -> None:
        waits.append(engine.calls)
        wait()

    monkeypatch.setattr(engine._cuda, "wait", counted)
    answer = runtimes[0].generate({"input_ids": [101, 102, 103], "max_tokens": 24, "end_id": -1, **fields})
    assert answer.error is None and len(answer.token_ids) == 24
    assert len(waits) == engine.calls - calls > 0
