"""llama.cpp on nano, written as GGUF: the logits of our engine, causal and bidirectional, and the same greedy ids."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode_convert.checkpoint.config import ModelConfig
from trimode_convert.verify.passes import BundleRunner, Pass
from trimode_perf.common import NANO
from trimode_perf.common.prompts import HELD_OUT, load
from trimode_perf.peers import gguf_file, libllama, llama_cpp
from trimode_perf.peers.comparison import prompt_ids
from trimode_perf.peers.peer import OWN, Peer, PeerError, Process

from tests.support import llama_checkpoints as factory

TOLERANCE = 1e-3
"""Of logits up to 22; 6e-5 were found."""
MAX_TOKENS = 32


@pytest.fixture(scope="module")
def runtime(bundle_of: Callable[[Path], Path]) -> Iterator[Runtime]:
    with closing(Runtime.open(ServerConfig(bundle=bundle_of(NANO), threads=1))) as opened:
        yield opened


@pytest.fixture(scope="module")
def prompts(runtime: Runtime) -> list[list[int]]:
    return [prompt_ids(runtime, prompt) for prompt in load(NANO / HELD_OUT, 1)[:6]]


@pytest.fixture(scope="module")
def peer() -> Peer:
    return llama_cpp.load(NANO, 1, "F32")


def written(path: Path, kind: str) -> libllama.Model:
    gguf_file.write(NANO, kind, path)
    return libllama.Model(path, threads=1, context=256, exact=True)


def test_its_logits_are_those_of_the_engine_in_both_directions(
    bundle_of: Callable[[Path], Path], prompts: list[list[int]], tmp_path: Path
) -> None:
    ids, block = np.array(prompts[0]), np.full(32, 100)
    steps = [Pass("", ids, 0, causal=True, keep=True), Pass("", block, len(ids), causal=False, keep=False)]
    ours = BundleRunner(bundle_of(NANO), threads=1).run(steps)
    with closing(written(tmp_path / "f32.gguf", "F32")) as model:
        theirs = [model.decode(prompts[0], every=True).copy(), model.decode(block.tolist(), every=True, causal=False)]
        for one, other in zip(ours, theirs, strict=True):
            assert np.abs(one - other).max() < TOLERANCE
        model.crop(len(ids) - 1)
        assert np.argmax(model.decode(prompts[0][-1:])) == np.argmax(ours[0][-1])


@pytest.mark.parametrize(("kind", "most"), [("BF16", 0.01), ("Q8_0", 0.02), ("Q4_0", 0.5)])
def test_other_types_of_weights_are_near(prompts: list[list[int]], tmp_path: Path, kind: str, most: float) -> None:
    found = []
    for one in ("F32", kind):
        with closing(written(tmp_path / f"{one}.gguf", one)) as model:
            found.append(model.decode(prompts[0]).copy())
    assert 0 < np.abs(found[1] - found[0]).max() < most * np.abs(found[0]).max()


def test_greedy_answers_have_the_runtimes_ids(runtime: Runtime, prompts: list[list[int]], peer: Peer) -> None:
    asked = {"mode": "autoregressive", "max_tokens": MAX_TOKENS}
    eos = runtime.manifest.eos_token_id
    answers = [peer.modes["autoregressive"](prompt, MAX_TOKENS, eos) for prompt in prompts]
    ours = [runtime.generate({**asked, "input_ids": prompt}).token_ids for prompt in prompts]
    assert [answer.ids for answer in answers] == ours
    assert [answer.forwards for answer in answers] == [len(answer.ids) - 1 for answer in answers]


def test_a_pass_is_timed_and_keeps_nothing(runtime: Runtime, prompts: list[list[int]], peer: Peer) -> None:
    generate, eos = peer.modes["autoregressive"], runtime.manifest.eos_token_id
    before = generate(prompts[1], MAX_TOKENS, eos)
    assert peer.one_pass is not None
    assert peer.one_pass(8, 16, False) > 0
    assert generate(prompts[1], MAX_TOKENS, eos).ids == before.ids


@pytest.mark.subprocess
def test_a_worker_serves_a_gguf_file_as_it_is(tmp_path: Path) -> None:
    file = factory.write_gguf(tmp_path / "tiny.gguf")
    command = [sys.executable, "-m", "trimode_perf.peers.worker", "--threads", "1", "--checkpoint", str(file), "--peer"]
    worker = Process([*command, "llama.cpp, the file itself"])
    try:
        assert worker.hello["passes"] is True
        assert worker.hello["about"].startswith("llama.cpp (xllamacpp ")
        asked = {"input_ids": [4, 5, 6], "mode": "autoregressive", "max_tokens": 5, "eos": -1}
        assert len(worker.ask(asked, 60)["ids"]) == 5
        assert worker.ask({"tokens": 4, "context": 8, "causal": True}, 60)["seconds"] > 0
        with pytest.raises(PeerError, match="llama_decode of 4 tokens returned"):
            worker.ask({"tokens": 4, "context": 510, "causal": True}, 60)
    finally:
        worker.close()


def test_its_own_weights_are_only_those_of_a_gguf_file() -> None:
    with pytest.raises(PeerError, match="is no GGUF file"):
        llama_cpp.load(NANO, 1, OWN)


def test_what_the_architecture_llama_does_not_scale_is_refused() -> None:
    config = ModelConfig.load(NANO)
    assert gguf_file.frequency_divisors(config).min() == 1.0  # fast channels keep their frequency
    assert gguf_file.frequency_divisors(config).max() > 1.0
    long = replace(config, max_positions=32768)
    with pytest.raises(PeerError, match="does not scale queries beyond 16384 positions"):
        gguf_file.frequency_divisors(long)
    scaled = replace(config, rope=replace(config.rope, attention_factor=1.5))
    with pytest.raises(PeerError, match=r"has no attention factor of 1\.5"):
        gguf_file.frequency_divisors(scaled)
