"""The evaluation harness: chats, texts as ids, and choices by the log-probabilities of prompts, with tasks of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.clients import ROOT, ClientsServer, need

need("lm_eval")
COUNT = 12
Run = Callable[[str, str, str], tuple[float, list[Any]]]
PATHS = {"local-chat-completions": "chat/completions", "local-completions": "completions"}


@pytest.fixture(scope="module")
def lm_eval(server: ClientsServer, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return what runs a task with a kind of model, and gives its score and what came of each question."""
    home = tmp_path_factory.mktemp("lm-eval")
    environment = {**os.environ, "HF_HOME": str(home / "cache"), "HF_DATASETS_OFFLINE": "1"}

    def run(kind: str, model: str, task: str) -> tuple[float, list[Any]]:
        options = {
            "model": model,
            "base_url": f"{server.base}/{PATHS[kind]}",
            "num_concurrent": "4",
            "max_retries": "1",
        }
        if kind == "local-completions":
            options |= {"tokenizer_backend": "huggingface", "tokenizer": "checkpoints/nano", "max_length": "2048"}
        out = home / f"{kind}-{task}"
        command = [str(Path(sys.executable).with_name("lm_eval")), "run", "--model", kind, "--tasks", task]
        command += ["--model_args", ",".join(f"{name}={value}" for name, value in options.items())]
        command += ["--include_path", "perf/lm_eval", "--apply_chat_template", "--limit", str(COUNT)]
        command += ["--output_path", str(out), "--log_samples"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        (results,), (samples,) = out.rglob("results_*.json"), out.rglob("samples_*.jsonl")
        (score,) = [
            value for name, value in json.loads(results.read_text())["results"][task].items()
            if name in ("exact_match,none", "acc,none")
        ]  # fmt: skip
        return score, [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]

    return run


@pytest.mark.parametrize(("kind", "mode"), zip(PATHS, ("diffusion", "self_speculation"), strict=True))
def test_answers_are_those_of_generate(server: ClientsServer, lm_eval: Run, kind: str, mode: str) -> None:
    score, samples = lm_eval(kind, f"nano:{mode}", "heldout_chat")
    assert len(samples) == COUNT
    expected = [
        server.generate(messages=sample["doc"]["messages"], mode=mode, max_tokens=512, temperature=0)
        for sample in samples
    ]
    assert [sample["resps"][0][0] for sample in samples] == expected
    right = [text == sample["doc"]["answer"] for text, sample in zip(expected, samples, strict=True)]
    assert score == pytest.approx(sum(right) / COUNT)


def test_choices_are_made_by_the_log_probabilities_of_generate(server: ClientsServer, lm_eval: Run) -> None:
    score, samples = lm_eval("local-completions", "nano:autoregressive", "heldout_choice")
    assert score == 1.0  # the other answer is that to another question
    for sample in samples:
        (likelihood, greedy), _ = sample["filtered_resps"]
        answer = server.answer(
            messages=sample["doc"]["messages"], mode="autoregressive", max_tokens=512, temperature=0,
            return_log_probs=True,
        )  # fmt: skip
        if answer["text_output"] == sample["doc"]["answer"]:  # then both give the same tokens, this one an end besides
            assert float(likelihood) == pytest.approx(sum(answer["output_log_probs"][:-1]), abs=1e-3)
            assert str(greedy) == "True"
