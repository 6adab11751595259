"""The peers of perf/peers decode as the reference and as the runtime do: every comparison of times is of equal ids."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode_train.data.chat import render
from trimode_train.data.tokenizer import load_tokenizer

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "checkpoints/nano"
KIT = ROOT / "tests/fixtures/parity"
MODES = {"ar": "autoregressive", "diffusion": "diffusion", "linear_spec": "self_speculation"}
MAX_TOKENS = 64
EOS = 11
PROMPTS = 10


@pytest.fixture(scope="module")
def peers():
    """Import a module of perf's peers."""
    return lambda name: importlib.import_module(f"trimode_perf.peers.{name}")


@pytest.fixture(scope="module")
def runtime(bundle_of):
    runtime = Runtime.open(ServerConfig(bundle=bundle_of(CHECKPOINT), threads=1))
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def prompts():
    """Held-out prompts, of as many domains."""
    tokenizer, by_domain = load_tokenizer(CHECKPOINT), {}
    for line in (CHECKPOINT / "heldout.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "messages" in record:
            by_domain.setdefault(record["domain"], tokenizer.encode(render(record["messages"])).ids)
    return list(by_domain.values())[:PROMPTS]


@pytest.fixture(scope="module")
def expected(runtime, prompts):
    """A function of the mode: the runtime's ids of every prompt."""

    def ask(mode):
        given = {"mode": mode, "max_tokens": MAX_TOKENS}
        return [runtime.generate({**given, "input_ids": prompt}).token_ids for prompt in prompts]

    return ask


def is_plain(case):
    """Whether the loops have what the case is about: one row, no thinking budget, one draft pass."""
    params = case["params"]
    drafted_once = case["mode"] != "linear_spec" or params["threshold"] == 0
    return len(case["prompt_ids"]) == 1 and params["max_thinking_tokens"] is None and drafted_once


CASES = [case for case in json.loads((KIT / "cases.json").read_text()) if is_plain(case)]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_torch_loops_are_the_references(peers, case):
    model = peers("torch_model").TorchModel(KIT / "checkpoints" / case["checkpoint"], adapter=case["lora"])
    params = case["params"]
    eos = model.config["eos_token_id"] if params["eos_token_id"] is None else params["eos_token_id"]
    knobs = {
        "diffusion": {"length": "block_length", "threshold": "threshold"},
        "linear_spec": {"length": "block_length"},
    }
    given = {name: params[theirs] for name, theirs in knobs.get(case["mode"], {}).items()}
    decode = getattr(peers("torch_loops"), MODES[case["mode"]])
    limit = params["max_new_tokens"]
    answer = decode(model, case["prompt_ids"][0], limit, eos, **given)
    assert answer.ids == case["expected_output_ids"][0][:limit]
    assert answer.forwards + (case["mode"] != "diffusion") == case["expected_nfe"]  # which counts the prefill


def test_the_adapter_changes_the_drafts_of_the_torch_loop_and_not_the_text(peers, prompts):
    models = [peers("torch_model").TorchModel(CHECKPOINT, adapter=adapter) for adapter in (False, True)]
    without, with_adapter = (
        [peers("torch_loops").self_speculation(model, prompt, MAX_TOKENS, EOS) for prompt in prompts]
        for model in models
    )
    assert [answer.ids for answer in without] == [answer.ids for answer in with_adapter]
    assert sum(answer.forwards for answer in with_adapter) < sum(answer.forwards for answer in without)


@pytest.mark.parametrize("mode", MODES.values())
def test_the_torch_loops_give_the_runtimes_ids(peers, prompts, expected, mode):
    decode = peers("torch_loops").load(CHECKPOINT, threads=1).modes[mode]
    assert [decode(prompt, MAX_TOKENS, EOS).ids for prompt in prompts] == expected(mode)


@pytest.mark.parametrize("mode", MODES.values())
def test_the_products_are_those_that_the_answer_took(peers, prompts, mode, monkeypatch):
    linear, done = torch.nn.functional.linear, []

    def noted(x, weight):
        done.append((x.shape[-2:], weight.data_ptr()))
        return linear(x, weight)

    monkeypatch.setattr(torch.nn.functional, "linear", noted)
    answer = peers("torch_loops").load(CHECKPOINT, threads=1).modes[mode](prompts[0], MAX_TOKENS, EOS)
    took = sorted(done)
    done.clear()
    answer.products()
    assert sorted(done) == took


def test_transformers_generate_gives_the_autoregressive_ids(peers, prompts, expected):
    generate = peers("transformers_generate").load(CHECKPOINT, threads=1).modes["autoregressive"]
    answers = [generate(prompt, MAX_TOKENS, EOS) for prompt in prompts]
    assert [answer.ids for answer in answers] == expected("autoregressive")
    assert [answer.forwards for answer in answers] == [len(answer.ids) - 1 for answer in answers]


def test_openvino_gives_the_autoregressive_ids(peers, prompts, expected):
    generate = peers("openvino_pipeline").load(CHECKPOINT, threads=1).modes["autoregressive"]
    answers = [generate(prompt, MAX_TOKENS, EOS) for prompt in prompts]
    assert [answer.ids for answer in answers] == expected("autoregressive")
    assert [answer.forwards for answer in answers] == [len(answer.ids) - 1 for answer in answers]


def test_a_worker_serves_a_peer(peers, prompts, expected):
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
    worker = peers("process").Process(command)
    try:
        assert worker.hello["modes"] == list(MODES.values())
        asked = {"input_ids": prompts[0], "mode": "diffusion", "max_tokens": MAX_TOKENS, "eos": EOS}
        answer = worker.ask(asked, seconds=60)
        assert (answer["ids"], answer["seconds"] > 0) == (expected("diffusion")[0], True)
        assert answer["products_seconds"] > 0
        with pytest.raises(peers("process").PeerError, match="IndexError"):
            worker.ask({**asked, "input_ids": [10**9]}, seconds=60)
    finally:
        worker.close()
