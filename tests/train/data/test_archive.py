"""A corpus drawn into an archive, and training runs that read it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from trimode_train import draw_archive, prepare
from trimode_train.__main__ import main
from trimode_train.data.archive import CHUNK, Archive, ArchiveCorpus, draw_documents
from trimode_train.data.batches import Batches, batch_for
from trimode_train.data.corpus import Corpus
from trimode_train.data.packing import Document
from trimode_train.data.recipe import DataOptions, Recipe
from trimode_train.evaluation.scores import questions
from trimode_train.model import shards
from trimode_train.model.config import ModelConfig
from trimode_train.model.model import Model, bias_from
from trimode_train.training.objective import Losses, Tensors, encode, mask_rule, visibility
from trimode_train.training.trainer import Trainer

ROOT = Path(__file__).parents[3]
NOT_NEEDED = ("tokenizers", "rich", "safetensors", "yaml", "jinja2", "reasoning_gym", "transformers")
BLOCKER = f"""
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NOT_NEEDED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="module")
def archive(tiny_config: ModelConfig, tokenizer: Tokenizer) -> Archive:
    data = DataOptions(code_share=0, prose_share=0, rows=4)
    recipe = Recipe("tiny", device="cuda", threads=1, model=tiny_config, data=data)
    corpus = Corpus(tokenizer, recipe.data)
    kept = ArchiveCorpus.joined(list(draw_documents(corpus, recipe.seed, 300)))
    asked = [(q.domain, q.document) for q in questions(corpus, per_domain=1, seed=7)]
    return Archive(recipe, kept, tokenizer.to_str(), asked)


def test_an_archive_holds_the_documents_of_the_corpus(tokenizer: Tokenizer) -> None:
    corpus = Corpus(tokenizer, DataOptions(code_share=0, prose_share=0))
    kept = ArchiveCorpus.joined(list(draw_documents(corpus, seed=3, documents=CHUNK + 5)))
    expected = []
    for chunk, size in enumerate((CHUNK, 5)):
        rng = Random(f"3 archive {chunk}")
        expected += [corpus.document(rng) for _ in range(size)]
    assert [kept[i] for i in range(len(kept))] == sorted(expected, key=lambda document: document.ids)


def test_an_archive_is_read_as_it_was_written(archive: Archive, tmp_path: Path) -> None:
    archive.save(tmp_path / "x.archive")
    read = Archive.load(tmp_path / "x.archive")
    assert read.recipe == archive.recipe
    assert (read.tokenizer, read.questions) == (archive.tokenizer, archive.questions)
    for name in ("ids", "lengths", "starts", "closed"):
        assert np.array_equal(getattr(read.corpus, name), getattr(archive.corpus, name))
    assert [file.name for file in tmp_path.iterdir()] == ["x.archive"]


def test_an_id_that_uint16_does_not_hold_is_an_error() -> None:
    with pytest.raises(ValueError, match="65536"):
        ArchiveCorpus.of([Document([1, 2**16], 1)])


def test_the_program_draws_what_a_run_reads(
    archive: Archive,
    tokenizer: Tokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(draw_archive, "RUNS", tmp_path / "runs")
    (tmp_path / "start").mkdir()
    tokenizer.save(str(tmp_path / "start/tokenizer.json"))
    data = "{code_share: 0, prose_share: 0}"
    (tmp_path / "r.yaml").write_text(f"name: tiny\nseed: 3\nstart_from: {tmp_path / 'start'}\ndata: {data}\n")
    assert draw_archive.main([str(tmp_path / "r.yaml"), "--documents", "20"]) == 0
    drawn = Archive.load(tmp_path / "runs/tiny.archive")
    assert "20 documents" in capsys.readouterr().out
    assert drawn.recipe == Recipe.load(tmp_path / "r.yaml")
    assert drawn.tokenizer == (tmp_path / "runs/tiny/tokenizer.json").read_text()
    corpus = Corpus(tokenizer, drawn.recipe.data)
    expected = ArchiveCorpus.joined(list(draw_documents(corpus, seed=3, documents=20)))
    assert [drawn.corpus[i] for i in range(20)] == [expected[i] for i in range(20)]
    assert drawn.questions == corpus.held_out(per_domain=12, seed=7)
    prepared = prepare.unpack(drawn, tmp_path / "runs/tiny")
    assert [(q.domain, q.document) for q in prepared.questions()] == drawn.questions


@pytest.mark.subprocess
def test_workers_make_the_same_batches_in_the_same_order(archive: Archive) -> None:
    recipe = dataclasses.replace(archive.recipe, workers=2)
    with Batches(archive.corpus, recipe, first=5) as batches:
        made = [next(batches) for _ in range(3)]
    for number, batch in enumerate(made, 5):
        for name, values in vars(batch_for(number, archive.corpus, recipe)).items():
            assert np.array_equal(getattr(batch, name), values), (number, name)


def test_a_run_from_an_archive_needs_torch_and_numpy_alone(archive: Archive, tmp_path: Path) -> None:
    archive.save(tmp_path / "x.archive")
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT / 'train'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trimode_train", "--archive", str(tmp_path / "x.archive")]
    command += ["--device", "cpu", "--no-compile", "--rows", "2", "--steps", "3", "--workers", "1"]
    command += ["--out", str(tmp_path / "run"), "--save-shards", str(tmp_path / "back")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "epoch 0.0" in done.stdout
    assert (tmp_path / "run/latest.pt").exists()


@pytest.fixture
def part(archive: Archive, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs a part of a run; returns where it then is."""
    archive.save(tmp_path / "x.archive")
    common = [
        "--archive",
        str(tmp_path / "x.archive"),
        "--device",
        "cpu",
        "--no-compile",
        "--out",
        str(tmp_path / "run"),
    ]

    def run(*flags: str) -> dict[str, Any]:
        assert main([*common, "--save-shards", str(tmp_path / "back"), *flags]) == 0
        return json.loads((tmp_path / "back" / shards.STATE).read_text())

    return run


def test_parts_of_a_run_end_early_and_continue_one_schedule(
    part: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class TwoSteps:
        """A timer that goes off in the second step of a part, however slow the machine."""

        def __init__(self, seconds: float, stop: Callable[[], None]) -> None:
            assert 500 < seconds <= 540
            self.stop, self.steps = stop, 0

        def start(self) -> None:
            def step(trainer: Trainer, tensors: Tensors) -> Losses:
                self.steps += 1
                if self.steps == 2:
                    self.stop()
                return train_step(trainer, tensors)

            monkeypatch.setattr(Trainer, "train_step", step)

    train_step = Trainer.train_step
    monkeypatch.setattr("threading.Timer", TwoSteps)
    first = part("--stop-after", "9")
    assert first["step"] == 2
    second = part("--stop-after", "9", "--resume")
    assert second["step"] == 4
    assert all(second[key] > first[key] for key in ("tokens", "elapsed", "drawn", "documents"))
    assert "exact match" not in capsys.readouterr().out
    over = second["elapsed"] / 61  # minutes, surely less than have passed: only what ends a run is left to do
    last = part("--resume", "--minutes", str(over))
    assert last == second
    assert "exact match" in capsys.readouterr().out


def test_a_run_continues_from_shards_alone(part: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    first = part("--steps", "2")
    (tmp_path / "run/latest.pt").unlink()
    back = shards.load((tmp_path / "back").rename(tmp_path / "carried"))
    second = part("--steps", "3", "--resume", "--from-shards", str(tmp_path / "carried"))
    assert (first["drawn"], second["drawn"]) == (2, 3)
    assert second["elapsed"] > first["elapsed"]
    for name, tensor in shards.load(tmp_path / "back").items():
        torch.testing.assert_close(tensor, back[name], atol=0.05, rtol=0)


@pytest.mark.subprocess
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_flex_attention_agrees_with_the_dense_mask(archive: Archive, tiny_config: ModelConfig) -> None:
    """Forward only, since on a CPU it has no backward; and new documents do not compile anything again."""
    torch.manual_seed(0)
    config = dataclasses.replace(tiny_config, head_dim=16)
    model = Model(config).eval()

    def block_mask(t: Tensors) -> BlockMask:
        rows, length = t.ids.shape
        return create_block_mask(mask_rule(t), rows, None, length, length, device=t.ids.device)

    compiled_mask, compiled = torch.compile(block_mask, dynamic=False), torch.compile(encode, dynamic=False)
    with torch.no_grad(), torch._dynamo.config.patch(error_on_recompile=True):
        for number in range(3):
            t = Tensors.of(batch_for(number, archive.corpus, archive.recipe))
            dense = encode(model, t.ids, t.positions, bias_from(visibility(t), torch.float32))
            sparse = compiled(model, t.ids, t.positions, compiled_mask(t))
            here = t.document >= 0  # filling sees nothing, and what it gives is nowhere used
            torch.testing.assert_close(sparse[here], dense[here], atol=1e-4, rtol=1e-4)
