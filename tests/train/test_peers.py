"""The peers of perf/peers decode as the reference and as the runtime do: every comparison of times is of equal ids."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode_perf.peers import eager, openvino, transformers_generate
from trimode_perf.peers.peer import PeerError, Process
from trimode_train.data.chat import render
from trimode_train.data.tokenizer import load_tokenizer
from trimode_train.evaluation import decode
from trimode_train.model.checkpoint import load_model

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "checkpoints/nano"
KIT = ROOT / "tests/fixtures/parity"
MODES = {"ar": "autoregressive", "diffusion": "diffusion", "linear_spec": "self_speculation"}
MAX_TOKENS = 64
EOS = 11
PROMPTS = 10
Expected = Callable[[str], list[list[int]]]


@pytest.fixture(scope="module")
def runtime(bundle_of: Callable[[Path], Path]) -> Iterator[Runtime]:
    runtime = Runtime.open(ServerConfig(bundle=bundle_of(CHECKPOINT), threads=1))
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    """Held-out prompts, of as many domains."""
    tokenizer = load_tokenizer(CHECKPOINT)
    by_domain: dict[str, list[int]] = {}
    for line in (CHECKPOINT / "heldout.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "messages" in record:
            by_domain.setdefault(record["domain"], tokenizer.encode(render(record["messages"])).ids)
    return list(by_domain.values())[:PROMPTS]


@pytest.fixture(scope="module")
def expected(runtime: Runtime, prompts: list[list[int]]) -> Expected:
    """A function of the mode: the runtime's ids of every prompt."""

    def ask(mode: str) -> list[list[int]]:
        given = {"mode": mode, "max_tokens": MAX_TOKENS}
        return [runtime.generate({**given, "input_ids": prompt}).token_ids for prompt in prompts]

    return ask


def is_plain(case: dict[str, Any]) -> bool:
    """Whether the loops have what the case is about: one row, no thinking budget, one draft pass."""
    params = case["params"]
    drafted_once = case["mode"] != "linear_spec" or params["threshold"] == 0
    return len(case["prompt_ids"]) == 1 and params["max_thinking_tokens"] is None and drafted_once


CASES = [case for case in json.loads((KIT / "cases.json").read_text()) if is_plain(case)]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_torch_loops_are_the_references(case: dict[str, Any]) -> None:
    model = eager.TorchModel(KIT / "checkpoints" / case["checkpoint"], adapter=case["lora"])
    params = case["params"]
    eos = model.config["eos_token_id"] if params["eos_token_id"] is None else params["eos_token_id"]
    knobs = {
        "diffusion": {"length": "block_length", "threshold": "threshold"},
        "linear_spec": {"length": "block_length"},
    }
    given = {name: params[theirs] for name, theirs in knobs.get(case["mode"], {}).items()}
    if given:
        given["mask"] = model.config["mask_token_id"]
    loop = getattr(decode, MODES[case["mode"]])
    limit = params["max_new_tokens"]
    answer = loop(model, case["prompt_ids"][0], limit, eos=eos, **given)
    assert answer.ids[:limit] == case["expected_output_ids"][0][:limit]
    assert answer.forwards + (case["mode"] != "diffusion") == case["expected_nfe"]  # which counts the prefill


@pytest.mark.parametrize("mode", MODES.values())
def test_trains_network_and_the_eager_one_decode_alike(prompts: list[list[int]], mode: str) -> None:
    """Two networks in torch, because train's is too slow for a peer: the same text in as many forwards."""
    theirs, ours, loop = load_model(CHECKPOINT), eager.TorchModel(CHECKPOINT, adapter=False), getattr(decode, mode)
    for prompt in prompts[:3]:
        assert loop(theirs, prompt, MAX_TOKENS) == loop(ours, prompt, MAX_TOKENS)


def test_the_adapter_changes_the_drafts_of_the_torch_loop_and_not_the_text(prompts: list[list[int]]) -> None:
    models = [eager.TorchModel(CHECKPOINT, adapter=adapter) for adapter in (False, True)]
    without, with_adapter = (
        [decode.self_speculation(model, prompt, MAX_TOKENS) for prompt in prompts] for model in models
    )
    assert [answer.ids[:MAX_TOKENS] for answer in without] == [answer.ids[:MAX_TOKENS] for answer in with_adapter]
    assert sum(answer.forwards for answer in with_adapter) < sum(answer.forwards for answer in without)


@pytest.mark.parametrize("mode", MODES.values())
def test_the_torch_loops_give_the_runtimes_ids(prompts: list[list[int]], expected: Expected, mode: str) -> None:
    decode = eager.load(CHECKPOINT, threads=1).modes[mode]
    assert [decode(prompt, MAX_TOKENS, EOS).ids for prompt in prompts] == expected(mode)


@pytest.mark.parametrize("mode", MODES.values())
def test_the_products_are_those_that_the_answer_took(
    prompts: list[list[int]], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    linear = torch.nn.functional.linear
    done: list[tuple[torch.Size, int]] = []

    def noted(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        done.append((x.shape[-2:], weight.data_ptr()))
        return linear(x, weight)

    monkeypatch.setattr(torch.nn.functional, "linear", noted)
    answer = eager.load(CHECKPOINT, threads=1).modes[mode](prompts[0], MAX_TOKENS, EOS)
    took = sorted(done)
    done.clear()
    assert answer.products is not None
    answer.products()
    assert sorted(done) == took


def test_transformers_generate_gives_the_autoregressive_ids(prompts: list[list[int]], expected: Expected) -> None:
    generate = transformers_generate.load(CHECKPOINT, threads=1).modes["autoregressive"]
    answers = [generate(prompt, MAX_TOKENS, EOS) for prompt in prompts]
    assert [answer.ids for answer in answers] == expected("autoregressive")
    assert [answer.forwards for answer in answers] == [len(answer.ids) - 1 for answer in answers]


@pytest.mark.subprocess
def test_openvino_gives_the_autoregressive_ids(prompts: list[list[int]], expected: Expected) -> None:
    generate = openvino.load(CHECKPOINT, threads=1).modes["autoregressive"]
    answers = [generate(prompt, MAX_TOKENS, EOS) for prompt in prompts]
    assert [answer.ids for answer in answers] == expected("autoregressive")
    assert [answer.forwards for answer in answers] == [len(answer.ids) - 1 for answer in answers]


@pytest.mark.subprocess
def test_a_worker_serves_a_peer(prompts: list[list[int]], expected: Expected) -> None:
    command = [
        sys.executable,
        "-m",
        "trimode_perf.peers.worker",
        "--peer",
        "torch",
        "--threads",
        "1",
        "--checkpoint",
        str(CHECKPOINT),
    ]
    worker = Process(command)
    try:
        assert worker.hello["modes"] == list(MODES.values())
        asked = {"input_ids": prompts[0], "mode": "diffusion", "max_tokens": MAX_TOKENS, "eos": EOS}
        answer = worker.ask(asked, seconds=60)
        assert (answer["ids"], answer["seconds"] > 0) == (expected("diffusion")[0], True)
        assert answer["products_seconds"] > 0
        with pytest.raises(PeerError, match="IndexError"):
            worker.ask({**asked, "input_ids": [10**9]}, seconds=60)
    finally:
        worker.close()
