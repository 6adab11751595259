"""The joint recipe on a model's own answers: from a Llama checkpoint to one in the official layout that denoises."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from trimode_convert.bundle.facts import side_files_of
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.verify.numpy_model import forward
from trimode_convert.verify.passes import Pass
from trimode_train import __main__ as program
from trimode_train import draw_archive, export, overlap, prepare
from trimode_train.data.answered import Answered
from trimode_train.data.batches import batch_for
from trimode_train.data.recipe import Recipe
from trimode_train.model import shards
from trimode_train.model.base import load_base
from trimode_train.model.checkpoint import load_model
from trimode_train.model.model import causal_bias, grouped_attention

from tests.support import llama_checkpoints as factory

TRI = Path(prepare.ROOT) / "train/smol-tri.yaml"
SHAPE: dict[str, Any] = {
    "vocab_size": len(factory.TOKENS), "hidden_size": factory.HIDDEN, "num_hidden_layers": factory.LAYERS,
    "num_attention_heads": factory.HEADS, "num_key_value_heads": factory.KV_HEADS, "head_dim": factory.HEAD_DIM,
    "intermediate_size": factory.INNER, "max_position_embeddings": 512, "original_max_position_embeddings": 512,
    "rope_factor": 1.0, "llama_4_scaling_beta": 0.0, "block_size": 8, "mask_id": factory.SPARE, "bos_id": 1,
    "eos_id": factory.END, "tied": True,
}  # fmt: skip
PLACES = ("prepare.ROOT", "prepare.RUNS", "export.ROOT", "overlap.ROOT", "__main__.ROOT", "__main__.RUNS")
Write = Callable[..., Path]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the base, its answers and a recipe; every folder of the project is in tmp_path."""
    arrays = factory.tensors()
    del arrays["diffusion_head.weight"]
    factory.write_llama(tmp_path / "base", factory.settings(tie_word_embeddings=True), arrays)
    (tmp_path / "base/training.json").write_text('{"draft_adapter": {}}')
    (tmp_path / "base/heldout.jsonl").write_text('{"domain": "x"}\n')
    for place in (*PLACES, "draw_archive.RUNS"):
        value = tmp_path / "train/runs" if place.endswith("RUNS") else tmp_path
        monkeypatch.setattr(f"trimode_train.{place}", value)
    rng, folder = Random(1), tmp_path / "train/runs/own"
    folder.mkdir(parents=True)
    for name, first in (("answers.jsonl", 0), ("heldout.jsonl", 20)):
        made = [
            Answered("x", f"text {k}.", 0, 0.0, [*(rng.randrange(4, 60) for _ in range(20)), factory.END], 6, True)
            for k in range(first, first + 8)
        ]
        (folder / name).write_text("".join(json.dumps(asdict(one)) + "\n" for one in made))

    def write(**changes: Any) -> Path:
        values = yaml.safe_load(TRI.read_text()) | {
            "name": "tri", "start_from": "base", "answers_of": "own", "model": SHAPE, "device": "cpu", "workers": 0,
            "compile": False, "threads": 1, "data": {"rows": 2, "row_length": 64},
        }  # fmt: skip
        (tmp_path / "tri.yaml").write_text(yaml.safe_dump(values | changes))
        return tmp_path / "tri.yaml"

    return write


def test_two_steps_give_a_checkpoint_that_denoises(recipe: Write, tmp_path: Path) -> None:
    assert program.main([str(recipe()), "--steps", "2"]) == 0
    out = tmp_path / "out"
    assert export.main(["--run", str(tmp_path / "train/runs/tri"), "--to", str(out)]) == 0
    model, base = load_model(out), load_base(tmp_path / "base")
    moved, before = (one.encoder.layers[0].self_attn.q_proj.weight for one in (model, base))
    assert not torch.equal(moved, before.bfloat16().float())
    assert model.diffusion_head.weight is model.encoder.embed_tokens.weight
    assert "diffusion_head.weight" not in shards.load(out)
    ids = list(range(5, 25))
    with Checkpoint.open(out) as checkpoint:
        config = checkpoint.config
        assert config.denoises and config.tied
        assert (config.block_size, config.mask_token_id, config.eos_token_id) == (8, factory.SPARE, factory.END)
        assert side_files_of(checkpoint)["chat_template.jinja"].decode() == factory.TEMPLATE
        (expected,) = forward(checkpoint, [Pass("all", np.array(ids), 0, causal=True)])
    places, count = torch.arange(len(ids))[None], len(ids)
    with torch.no_grad():
        found, _ = model(torch.tensor([ids]), places, grouped_attention(causal_bias(count, count)))
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-4)
    record = json.loads((out / "training.json").read_text())
    assert [stage["recipe"] for stage in record["stages"]] == ["tri"]
    assert {one["licence"] for one in record["sources"]} >= {"PSF-2.0", "Apache-2.0"}
    assert (out / "heldout.jsonl").read_text() == '{"domain": "x"}\n'


def test_it_travels_as_an_archive_and_shards(recipe: Write, tmp_path: Path) -> None:
    path, start, back = recipe(), tmp_path / "start", tmp_path / "back"
    assert draw_archive.main([str(path), "--to", str(tmp_path / "tri.archive")]) == 0
    assert program.main([str(path), "--steps", "0", "--save-shards", str(start)]) == 0
    base = load_base(tmp_path / "base").stored()
    assert all(torch.equal(tensor, base[name].bfloat16()) for name, tensor in shards.load(start).items())
    there = ["--archive", str(tmp_path / "tri.archive"), "--from-shards", str(start), "--save-shards", str(back)]
    assert program.main([*there, "--steps", "2", "--out", str(tmp_path / "there")]) == 0
    assert json.loads((back / shards.STATE).read_text())["answers_of"] == "own"
    assert export.main(["--run", str(back), "--to", str(tmp_path / "out")]) == 0
    with Checkpoint.open(tmp_path / "out") as checkpoint:
        assert checkpoint.config.denoises


def test_its_batches_have_the_base_s_mask_and_end(recipe: Write, tmp_path: Path) -> None:
    settings = Recipe.load(recipe())
    batch = batch_for(0, prepare.answers_of(settings), settings)
    noisy = batch.block > 0
    assert (batch.ids[noisy & (batch.weights > 0)] == factory.SPARE).all()
    assert not np.isin(batch.ids, [11, 100]).all() and batch.ids.max() < len(factory.TOKENS)
    assert set(batch.ids[batch.document < 0].tolist()) <= {factory.END}


def test_what_does_not_fit_is_refused_by_name(recipe: Write, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.rope_theta is 500\.0 in the recipe, the checkpoint has 10000\.0"):
        program.main([str(recipe(model={**SHAPE, "rope_theta": 500.0})), "--steps", "1"])
    with pytest.raises(ValueError, match=r"an answer has 21 tokens, data\.row_length leaves room for 16"):
        program.main([str(recipe(data={"rows": 2, "row_length": 24})), "--steps", "1"])
    with pytest.raises(ValueError, match=r"answers\.jsonl: no answers; run python -m"):
        program.main([str(recipe(answers_of="none")), "--steps", "1"])
    with pytest.raises(ValueError, match="answers_of needs start_from"):
        Recipe.load(recipe(start_from=None))


def test_its_answers_are_checked_for_overlap(recipe: Write, tmp_path: Path) -> None:
    assert overlap.main(["--recipe", str(recipe()), "--checkpoint", str(tmp_path)]) == 0
    (run,) = json.loads((tmp_path / "overlap.json").read_text())["runs"]
    assert (run["recipe"], run["documents"], run["domains"]["x"]["asked"]) == ("tri", 8, 8)


def test_the_recipe_is_smollm2_s() -> None:
    found = Recipe.load(TRI)
    assert (found.model.mask_id, found.model.block_size, found.noise.diffusion_weight) == (16, 8, 0.3)
    assert found.noise.block_lengths == (8,) and found.model.tied
