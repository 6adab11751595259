"""The run that trains a draft adapter: it resumes, saves, measures and exports."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from trimode_train.adapter import draft_adapter
from trimode_train.adapter.draft_adapter import PackedRun
from trimode_train.adapter.draft_objective import DraftLosses
from trimode_train.adapter.own_text import OwnText
from trimode_train.adapter.recipe import AdapterRecipe
from trimode_train.data.batches import batch_for
from trimode_train.data.packing import Document, NoiseOptions
from trimode_train.data.recipe import DataOptions, OptimOptions
from trimode_train.evaluation.decode import autoregressive, self_speculation
from trimode_train.export import export
from trimode_train.model import lora
from trimode_train.model.config import ModelConfig
from trimode_train.model.model import Model
from trimode_train.training.bar import Bar
from trimode_train.training.clock import Clock
from trimode_train.training.objective import Tensors

from tests.support.lora import prompt, randomise
from tests.support.still_clock import StillClock

RANK, ALPHA = 4, 16
ALL_MASKED = NoiseOptions(block_lengths=(8, 4), block_odds=(0.5, 0.5), shifted=0.5, all_masked=1.0, seed_masked=0.0)


@pytest.fixture
def make_run(tiny_config: ModelConfig, pool: list[Document], tmp_path: Path) -> Callable[[str], PackedRun]:
    def make(name: str) -> PackedRun:
        torch.manual_seed(0)
        recipe = AdapterRecipe(
            "tiny", compile=False, bfloat16=False, model=tiny_config, rank=RANK, alpha=ALPHA, noise=ALL_MASKED,
            data=DataOptions(rows=2, row_length=128), optim=OptimOptions(adam_lr=1e-2, weight_decay=0.0),
        )  # fmt: skip
        (tmp_path / name).mkdir(exist_ok=True)
        return PackedRun(recipe, Model(tiny_config), OwnText(pool), StillClock(), tmp_path / name, Bar("training"))

    return make


def test_no_adapter_changes_the_greedy_text(model: Model) -> None:
    lora.attach(model, RANK, ALPHA)
    randomise(model)
    cycles = set()
    for seed in range(5):
        plain = autoregressive(model, prompt(seed), 24).ids
        for adapter in (False, True):
            decoded = self_speculation(model, prompt(seed), 24, 8, adapter)
            assert decoded.ids[: len(plain)] == plain
            cycles.add((seed, decoded.blocks))
    assert len(cycles) >= 5


# -- the run -----------------------------------------------------------------------------------------------------------


def test_training_raises_acceptance_and_leaves_the_base_alone(
    make_run: Callable[[str], PackedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("a")
    base = {k: v.clone() for k, v in run.model.state_dict().items() if "draft_branch" not in k}
    results: list[DraftLosses] = []
    step = run.train_step

    def noted(tensors: Tensors) -> DraftLosses:
        results.append(step(tensors))
        return results[-1]

    monkeypatch.setattr(run, "train_step", noted)
    run.run([], max_steps=40)
    assert sum(r.accepted for r in results[-5:]) > 1.2 * sum(r.accepted for r in results[:5])
    for name, tensor in base.items():
        assert torch.equal(run.model.state_dict()[name], tensor), name


def test_a_resumed_run_on_packed_rows_equals_an_uninterrupted_one(make_run: Callable[[str], PackedRun]) -> None:
    whole = make_run("whole")
    whole.run([], max_steps=6)
    make_run("parts").run([], max_steps=3)
    resumed = make_run("parts")
    resumed.resume()
    resumed.run([], max_steps=6)
    for name, tensor in lora.snapshot(whole.model).items():
        assert torch.equal(tensor, lora.snapshot(resumed.model)[name]), name


def test_a_signal_saves_and_stops(make_run: Callable[[str], PackedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("a")
    step = run.train_step

    def signalled(tensors: Tensors) -> DraftLosses:
        result = step(tensors)
        if run.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(run, "train_step", signalled)
    run.run([], max_steps=5)
    resumed = make_run("a")
    resumed.resume()
    assert (run.step, resumed.step) == (2, 2)


def test_the_best_measured_adapter_is_exported(
    make_run: Callable[[str], PackedRun], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, measured = make_run("a"), iter([2.0, 3.0, 2.5])  # without adapter, then twice with it
    monkeypatch.setattr(draft_adapter, "tokens_per_cycle", lambda *_, **__: next(measured))
    randomise(run.model)
    best = lora.snapshot(run.model)
    run.evaluate([])
    run.train_step(Tensors.of(batch_for(0, run.corpus, run.recipe)))
    run.evaluate([])
    run.export(tmp_path / "out")
    tensors = load_file(tmp_path / "out/linear_spec_lora/adapter_model.safetensors")
    assert all(torch.equal(best[name], tensor) for name, tensor in tensors.items())


def test_the_export_has_the_official_names_shapes_dtypes_and_fields(
    make_run: Callable[[str], PackedRun], tiny_config: ModelConfig, tmp_path: Path
) -> None:
    run, c = make_run("a"), tiny_config
    (tmp_path / "training.json").write_text('{"stages": [1]}')
    run.step, run.tokens = 9, 8
    run.best, run.best_step = lora.snapshot(run.model), 7
    run.export(tmp_path)
    width = c.num_attention_heads * c.head_dim
    prefix = "base_model.model.encoder.layers.{}.self_attn.o_proj.lora_{}.weight"
    shapes = {"A": (RANK, width), "B": (c.hidden_size, RANK)}
    tensors = load_file(tmp_path / "linear_spec_lora/adapter_model.safetensors")
    assert {k: tuple(v.shape) for k, v in tensors.items()} == {
        prefix.format(i, side): shape for i in range(c.num_hidden_layers) for side, shape in shapes.items()
    }
    assert {v.dtype for v in tensors.values()} == {torch.float32}
    assert json.loads((tmp_path / "linear_spec_lora/adapter_config.json").read_text()) == {
        "peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "lora_dropout": 0, "bias": "none",
        "target_modules": ["o_proj"], "use_rslora": False, "use_dora": False, "inference_mode": True, "task_type": None,
    }  # fmt: skip
    facts = json.loads((tmp_path / "training.json").read_text())
    assert facts["stages"] == [1]
    assert facts["draft_adapter"] == {
        "rank": RANK,
        "alpha": ALPHA,
        "steps": 7,
        "minutes": 0.2,
        "tokens": 8,
        "growth": [],
    }


@pytest.fixture
def command(tiny_config: ModelConfig, tokenizer: Tokenizer, tmp_path: Path) -> list[str]:
    export(Model(tiny_config).state_dict(), tiny_config.to_official(), tokenizer, tmp_path / "c")
    data = "{rows: 2, code_share: 0, prose_share: 0}"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"name: x\nthreads: 1\ncompile: false\nbfloat16: false\ndocuments: 8\ndata: {data}")
    return [str(recipe), "--checkpoint", str(tmp_path / "c"), "--out", str(tmp_path / "run")]


def test_a_few_steps_are_saved_but_an_adapter_nobody_measured_is_not_written(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draft_adapter.main([*command, "--steps", "2"]) == 0
    assert (tmp_path / "run/latest.pt").exists()
    assert not (tmp_path / "c/linear_spec_lora").exists()
    assert "no adapter was measured" in capsys.readouterr().out


@pytest.mark.parametrize(("with_adapter", "status"), [(3.0, 0), (1.0, 1)])
def test_an_adapter_that_does_not_help_is_not_written(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_adapter: float, status: int
) -> None:
    monkeypatch.setattr(draft_adapter, "tokens_per_cycle", lambda *_, adapter: with_adapter if adapter else 2.0)
    monkeypatch.setattr(draft_adapter, "Clock", lambda *_: Clock(budget=1e-6))  # seconds: one step takes longer
    assert draft_adapter.main(command) == status
    assert (tmp_path / "c/linear_spec_lora").exists() == (status == 0)
