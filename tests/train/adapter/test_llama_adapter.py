"""The run that teaches a frozen model to draft: it learns, resumes, and writes what the converter reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random

import pytest
import torch
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_train.adapter import llama_adapter
from trimode_train.adapter.draft_batches import DraftBatch
from trimode_train.adapter.draft_objective import DraftLosses
from trimode_train.adapter.frozen import load_frozen
from trimode_train.adapter.llama_adapter import LlamaRun, greedy
from trimode_train.adapter.recipe import DraftOptions, LlamaRecipe
from trimode_train.data.answered import Answered
from trimode_train.data.packing import Document
from trimode_train.data.recipe import OptimOptions
from trimode_train.model import lora
from trimode_train.training.bar import Bar

from tests.support import llama_checkpoints as factory
from tests.support.still_clock import StillClock

OPTIONS = DraftOptions(documents=2, tokens=32, lengths=(4,), odds=(1.0,), causal_lengths=(3,))


def replies(count: int, closed: bool = True) -> list[Answered]:
    """Answers that repeat a pattern, which drafts can learn."""
    made = []
    for number in range(count):
        rng = Random(number)
        pattern = [rng.randrange(4, 60) for _ in range(3)]
        reply = (pattern * 6)[: 14 + number % 4]
        made.append(Answered("x", f"text {number}", 0, 0.0, [5, 6, 7, *pattern, *reply], 6, closed))
    return made


def write_answers(path: Path, answers: list[Answered]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in answers))


@pytest.fixture
def make_run(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], LlamaRun]:
    checkpoint = factory.write_llama(tmp_path / "c")

    def make(name: str) -> LlamaRun:
        recipe = LlamaRecipe(
            "tiny", rank=4, alpha=16, shortlist=16, drafts=OPTIONS, stored="bfloat16", mask_rate=2.0,
            optim=OptimOptions(adam_lr=3e-3, weight_decay=0.0), bfloat16=getattr(request, "param", False),
        )  # fmt: skip
        (tmp_path / name).mkdir(exist_ok=True)
        documents = [one.document for one in replies(6)]
        return LlamaRun(recipe, load_frozen(checkpoint), documents, StillClock(), tmp_path / name, Bar("training"))

    return make


@pytest.mark.parametrize("make_run", [False, True], indirect=True, ids=["float32", "bfloat16"])
def test_training_brings_drafts_nearer_and_leaves_the_base_alone(
    make_run: Callable[[str], LlamaRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("a")
    trained = set(lora.weights(run.model))
    base = {k: v.clone() for k, v in run.model.state_dict().items() if "draft_branch" not in k and "mask_row" not in k}
    results: list[DraftLosses] = []
    step = run.train_step

    def noted(batch: DraftBatch) -> DraftLosses:
        results.append(step(batch))
        return results[-1]

    monkeypatch.setattr(run, "train_step", noted)
    run.run([], max_steps=40)
    assert lora.MASK_ROW in trained
    totals = [float(result.total.detach()) for result in results]
    assert sum(totals[-5:]) < 0.8 * sum(totals[:5]), totals
    for name, tensor in base.items():
        assert torch.equal(run.model.state_dict()[name], tensor), name


def test_a_resumed_run_on_answers_equals_an_uninterrupted_one(make_run: Callable[[str], LlamaRun]) -> None:
    whole = make_run("whole")
    whole.run([], max_steps=4)
    make_run("parts").run([], max_steps=2)
    resumed = make_run("parts")
    resumed.resume()
    resumed.run([], max_steps=4)
    assert resumed.tokens == whole.tokens
    for name, tensor in lora.snapshot(whole.model).items():
        assert torch.equal(tensor, lora.snapshot(resumed.model)[name]), name


def test_the_best_measured_adapter_is_written_at_once_and_the_converter_reads_it(
    make_run: Callable[[str], LlamaRun], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, measured = make_run("a"), iter([1.0, 1.5])
    monkeypatch.setattr(run, "per_cycle", lambda *_, **__: next(measured))
    run.evaluate([Document([1, 2, 3], 1)])
    folder = tmp_path / "c"
    (tmp_path / "a/linear_spec_lora").rename(folder / "linear_spec_lora")
    with Checkpoint.open(folder) as checkpoint:
        assert checkpoint.adapter is not None and checkpoint.adapter.mask is not None
        assert checkpoint.adapter.mask.shape == (1, factory.HIDDEN)
        assert checkpoint.adapter.scale == 4.0


def test_greedy_answers_are_measured_and_cut() -> None:
    answers = [*replies(4), Answered("x", "sampled", 0, 0.7, list(range(30)), 6, True)]
    found = greedy(answers, 3, 10)
    assert len(found) == 3 and all(len(one.ids) - one.start == 10 for one in found)
    assert greedy(answers[-1:], 3, 10) == []


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    checkpoint = factory.write_llama(tmp_path / "c")
    recipe = tmp_path / "recipe.yaml"
    drafts = "{documents: 2, tokens: 16, lengths: [4], odds: [1.0], causal_lengths: [3]}"
    recipe.write_text(f"name: x\nthreads: 1\nrank: 4\nstart_from: {checkpoint}\ndrafts: {drafts}\n")
    return [str(recipe), "--out", str(tmp_path / "run")]


def test_a_run_writes_its_adapter(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_answers(tmp_path / "run/answers.jsonl", replies(5))
    write_answers(tmp_path / "run/heldout.jsonl", replies(2))
    monkeypatch.setattr(LlamaRun, "per_cycle", lambda self, asked, adapter: 2.0 if adapter else 1.0)
    assert llama_adapter.main([*command, "--minutes", "0.01", "--to", str(tmp_path / "to")]) == 0
    assert (tmp_path / "to/linear_spec_lora/adapter_model.safetensors").exists()
    record = json.loads((tmp_path / "to/training.json").read_text())["draft_adapter"]
    assert record["rank"] == 4 and record["growth"][0] == [0, 1.0] and record["growth"][-1] == [record["tokens"], 2.0]
    prompts = [json.loads(line) for line in (tmp_path / "to/heldout.jsonl").read_text().splitlines()]
    assert prompts == [
        {"domain": one.kind, "messages": [{"role": "user", "content": one.text}]} for one in replies(2) if one.turn == 0
    ]
    assert "5 answers" in capsys.readouterr().out


def test_without_answers_it_says_how_to_make_them(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("answers.jsonl", "heldout.jsonl"):  # without held-out ones no adapter could be measured
        assert llama_adapter.main(command) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"{tmp_path / 'run' / name}: no answers; run python -m trimode_train.adapter.answers")
        write_answers(tmp_path / "run/answers.jsonl", replies(5))
    assert not (tmp_path / "run/latest.pt").exists()
    assert llama_adapter.main([*command, "--steps", "1"]) == 0  # measures nothing
