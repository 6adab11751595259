"""The exported checkpoint: official names, shapes and dtypes, shards, and its training record."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_train import export as export_module
from trimode_train.data.chat import IMAGE_TEMPLATE
from trimode_train.data.sources import SOURCES
from trimode_train.data.tokenizer import with_images
from trimode_train.export import export, origin, pictures, records_of, stages
from trimode_train.export import main as export_main
from trimode_train.model import shards
from trimode_train.model.config import ModelConfig, VisionConfig
from trimode_train.model.model import Model
from trimode_train.prepare import ROOT
from trimode_train.training import resumable
from trimode_train.training.trainer import Trainer


def test_the_export_has_the_official_names_shapes_and_dtypes(
    tiny_config: ModelConfig, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    c, model = tiny_config, Model(tiny_config)
    export(model.state_dict(), c.to_official(), tokenizer, tmp_path / "out")
    layer = {
        "input_layernorm.weight": (c.hidden_size,),
        "post_attention_layernorm.weight": (c.hidden_size,),
        "self_attn.q_proj.weight": (c.num_attention_heads * c.head_dim, c.hidden_size),
        "self_attn.k_proj.weight": (c.num_key_value_heads * c.head_dim, c.hidden_size),
        "self_attn.v_proj.weight": (c.num_key_value_heads * c.head_dim, c.hidden_size),
        "self_attn.o_proj.weight": (c.hidden_size, c.num_attention_heads * c.head_dim),
        "mlp.gate_proj.weight": (c.intermediate_size, c.hidden_size),
        "mlp.up_proj.weight": (c.intermediate_size, c.hidden_size),
        "mlp.down_proj.weight": (c.hidden_size, c.intermediate_size),
    }
    expected = {
        "encoder.embed_tokens.weight": (c.vocab_size, c.hidden_size),
        "encoder.norm.weight": (c.hidden_size,),
        "diffusion_head.weight": (c.vocab_size, c.hidden_size),
        **{f"encoder.layers.{i}.{k}": v for i in range(c.num_hidden_layers) for k, v in layer.items()},
    }
    tensors = load_file(tmp_path / "out/model.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == expected
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert ModelConfig.from_official(config) == c
    assert (config["mask_token_id"], config["eos_token_id"], config["bos_token_id"]) == (100, 11, 1)


def test_larger_weights_become_shards_that_the_converter_and_safetensors_read(
    tiny_config: ModelConfig, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model, out = Model(tiny_config), tmp_path / "out"
    export(model.state_dict(), tiny_config.to_official(), tokenizer, out)
    single = load_file(out / "model.safetensors")
    names = shards.save(model.state_dict(), out, limit=100_000)
    index = json.loads((out / shards.INDEX).read_text())
    files = sorted(set(index["weight_map"].values()))
    assert files == [f"model-0000{k}-of-0000{len(files)}.safetensors" for k in range(1, len(files) + 1)]
    assert names == [*files, shards.INDEX]
    assert len(files) > 1
    assert all((out / file).stat().st_size <= 100_000 for file in files)
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in single.values())
    assert not (out / "model.safetensors").exists()
    read = {name: tensor for file in files for name, tensor in load_file(out / file).items()}
    for name, tensor in shards.load(out).items():
        assert torch.equal(tensor, single[name]) and torch.equal(tensor, read[name])
        assert index["weight_map"][name] in files
    with Checkpoint.open(out) as checkpoint:
        assert checkpoint.tensors.keys() == single.keys()


def test_the_training_record_has_every_stage_once(tmp_path: Path) -> None:
    def state(recipe: str, **values: object) -> dict[str, object]:
        return {"recipe": recipe, "step": 5, "tokens": 7, "elapsed": 90.0, **values}

    first, second = ({"recipe": name, "steps": 5, "tokens": 7, "minutes": 1.5} for name in ("one", "two"))
    assert stages(state("one", start_from=None), "one", tmp_path) == [first]
    (tmp_path / "training.json").write_text(json.dumps({"stages": [first]}))
    both = stages(state("two", start_from=str(tmp_path)), "two", tmp_path / "elsewhere")
    assert both == [first, second]
    (tmp_path / "training.json").write_text(json.dumps({"stages": both}))
    old = state("two")
    del old["recipe"]  # of a version that did not say what it was
    assert stages(old, "two", tmp_path) == both


def test_an_export_replaces_the_record_and_removes_an_old_adapter(
    make_trainer: Callable[..., Trainer], tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimode_train.export.SOURCES", SOURCES[-1:])  # the smallest
    monkeypatch.setattr("trimode_train.export.held_out", lambda: [])
    trainer, out = make_trainer("run"), tmp_path / "out"
    trainer.run([], max_steps=1)
    trainer.save_shards(tmp_path / "shards")
    (out / "linear_spec_lora").mkdir(parents=True)
    (out / "training.json").write_text(json.dumps({"stages": [], "draft_adapter": {}}))
    for run in (tmp_path / "run", tmp_path / "shards"):
        tokenizer.save(str(run / "tokenizer.json"))
        assert export_main(["--run", str(run), "--to", str(out)]) == 0
        record = json.loads((out / "training.json").read_text())
        assert record.keys() == {"stages", "sources"}
        assert [stage["recipe"] for stage in record["stages"]] == ["tiny"]
        assert {"name", "kind", "licence", "address"} <= set.intersection(*map(set, record["sources"]))
        assert not (out / "linear_spec_lora").exists()


def test_a_run_may_be_exported_as_the_mean_with_a_checkpoint(
    make_trainer: Callable[..., Trainer], tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimode_train.export.SOURCES", SOURCES[-1:])
    monkeypatch.setattr("trimode_train.export.held_out", lambda: [])
    trainer, before, out = make_trainer("run"), tmp_path / "before", tmp_path / "out"
    trainer.run([], max_steps=1)
    trainer.save_shards(tmp_path / "shards")
    tokenizer.save(str(tmp_path / "shards/tokenizer.json"))
    assert export_main(["--run", str(tmp_path / "shards"), "--to", str(before)]) == 0
    shards.save({name: tensor + 1 for name, tensor in shards.load(before).items()}, before)
    export_main(["--run", str(tmp_path / "shards"), "--to", str(out), "--mean-with", str(before)])
    run = shards.load(tmp_path / "shards")
    for name, tensor in shards.load(out).items():
        assert torch.allclose(tensor.float(), run[name].float() + 0.5, atol=2e-2, rtol=1e-2), name
    assert json.loads((out / "training.json").read_text())["stages"][-1]["mean_with"] == "tiny"
    shards.save({"other": torch.zeros(1)}, before)
    with pytest.raises(SystemExit, match="expected the tensors of the run"):
        export_main(["--run", str(tmp_path / "shards"), "--to", str(out), "--mean-with", str(before)])


def test_a_model_that_sees_is_exported_with_its_names_and_template(
    tiny_config: ModelConfig, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    tower = VisionConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, head_dim=8, intermediate_size=24)
    config = replace(tiny_config, vocab_size=513, vision=tower)
    out = tmp_path / "out"
    export(Model(config).state_dict(), config.to_official(), with_images(tokenizer), out, ["one", "two"])
    names = json.loads((out / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    marks = ["<|image_start|>", "<|image_pad|>", "<|image_break|>", "<|image_end|>", "|<MASK>|"]
    assert [names[str(number)]["content"] for number in (18, 19, 20, 21, 512)] == marks
    assert (out / "chat_template.jinja").read_text() == IMAGE_TEMPLATE.read_text()
    assert (out / "heldout.jsonl").read_text() == "one\ntwo\n"
    with Checkpoint.open(out) as checkpoint:
        assert checkpoint.config.vision is not None
        assert any(name.startswith("encoder.multi_modal_projector.") for name in checkpoint.tensors)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the states of the stages before the last, of which the second began with a checkpoint."""
    monkeypatch.setattr(export_module, "RUNS", tmp_path)
    for name, begun, before in (("vlm/reader", None, None), ("vlm/swap", "checkpoints/nano", "vlm/reader")):
        (tmp_path / name).mkdir(parents=True)
        resumable.save(tmp_path / name / "latest.pt", {"start_from": begun, "weights_of": before})
    return tmp_path


def test_the_text_weights_origin_is_found_by_way_of_the_stages(runs: Path) -> None:
    assert origin({"start_from": None, "weights_of": "vlm/swap"}) == ROOT / "checkpoints/nano"
    assert origin({"start_from": None, "weights_of": "vlm/reader"}) is None
    assert origin({}) is None


def test_a_model_that_sees_is_asked_what_its_text_model_is_asked(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "held_out", lambda: iter([{"domain": "made"}]))
    seeing: dict[str, Any] = {"start_from": None, "weights_of": "vlm/swap", "config": {"vision_config": {}}}
    assert records_of(seeing) == (ROOT / "checkpoints/nano/heldout.jsonl").read_text().splitlines()
    assert records_of({**seeing, "config": {}}) == ['{"domain": "made"}']
    assert records_of({**seeing, "weights_of": "vlm/reader"}) == ['{"domain": "made"}']


def test_the_record_says_what_the_last_stage_drew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "RECIPES", tmp_path)
    (tmp_path / "few.yaml").write_text(
        "{name: few, model: {vision: {}}, data: {patch_rows: 1}, pictures: {share: 1.0, digits: 3, words: 20},"
        " stages: [{name: one, pictures: {domains: [word, shape]}}, {name: two}]}"
    )
    assert pictures("few/one") == {"domains": ["word", "shape"], "digits": 3, "words": 20}
    everything = pictures("few/two")["domains"]
    assert "unseen_word" not in everything and len(everything) == 7
