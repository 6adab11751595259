import dataclasses
import datetime
import json

import pytest
import torch
from safetensors.torch import load_file
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_train.data.corpus import Corpus
from trimode_train.data.packing import NoiseOptions
from trimode_train.data.recipe import DataOptions, Recipe
from trimode_train.data.sources import SOURCES
from trimode_train.export import export, stages
from trimode_train.export import main as export_main
from trimode_train.model import shards
from trimode_train.model.config import ModelConfig
from trimode_train.model.model import Model
from trimode_train.training.clock import Clock, wall_clock
from trimode_train.training.muon import orthogonalise
from trimode_train.training.report import Reporter
from trimode_train.training.trainer import Trainer, learning_rate


@pytest.fixture
def make_trainer(tiny_config, tokenizer, tmp_path):
    def make(name: str, noise: NoiseOptions = NoiseOptions()) -> Trainer:  # noqa: B008
        recipe = Recipe(
            "tiny",
            noise=noise,
            compile=False,
            bfloat16=False,
            model=tiny_config,
            data=DataOptions(code_share=0, prose_share=0, rows=4),
        )
        (tmp_path / name).mkdir(exist_ok=True)
        # A clock that stands still at full learning rate: the result must not depend on the machine's speed.
        clock = Clock(budget=100.0, elapsed=10.0)
        clock.step = lambda seconds: None
        return Trainer(recipe, Corpus(tokenizer, recipe.data), clock, tmp_path / name, Reporter(None))

    return make


def test_training_reduces_the_loss(make_trainer):
    trainer, losses = make_trainer("a"), []
    record = trainer.reporter.step
    trainer.reporter.step = lambda *values: (losses.append(values[2] + values[3]), record(*values))
    trainer.run([], max_steps=25)
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


@pytest.mark.parametrize("second_look", [False, True])
def test_a_resumed_run_equals_an_uninterrupted_one(make_trainer, second_look):
    noise = NoiseOptions(second_look=second_look)  # three steps: stopped between a first and a second look
    whole = make_trainer("whole", noise)
    whole.run([], max_steps=6)
    assert whole.drawn == (3 if second_look else 6)
    make_trainer("parts", noise).run([], max_steps=3)
    resumed = make_trainer("parts", noise)
    resumed.resume()
    resumed.run([], max_steps=6)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_the_export_has_the_official_names_shapes_and_dtypes(tiny_config, tokenizer, tmp_path):
    c, model = tiny_config, Model(tiny_config)
    export(model.state_dict(), c.to_official(), tokenizer, tmp_path / "out", with_held_out=False)
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


def test_larger_weights_become_shards_that_the_converter_and_safetensors_read(tiny_config, tokenizer, tmp_path):
    model, out = Model(tiny_config), tmp_path / "out"
    export(model.state_dict(), tiny_config.to_official(), tokenizer, out, with_held_out=False)
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


def test_the_training_record_has_every_stage_once(tmp_path):
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


def test_an_export_replaces_the_record_and_removes_an_old_adapter(make_trainer, tokenizer, tmp_path, monkeypatch):
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


def test_muon_updates_have_singular_values_near_one():
    for shape in ((3, 16, 48), (3, 48, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(*shape)))
        assert values.min() > 0.5 and values.max() < 1.5


def test_a_pause_does_not_count_and_the_hour_ends_the_schedule():
    clock = Clock(budget=100.0, until=1000.0, now=lambda: 960.0)
    clock.step(500.0)
    assert clock.elapsed < 10
    assert clock.left == 40
    clock.now = lambda: 1001.0
    assert clock.progress == 1.0


@pytest.mark.parametrize(("text", "day"), [("10:30", 2), ("11:00", 2), ("11:01", 1), ("23:59", 1)])
def test_an_hour_is_the_next_time_that_the_clock_shows_it(text, day):
    now = datetime.datetime(2026, 1, 1, 11, 0, 0)
    hour, minute = map(int, text.split(":"))
    assert wall_clock(text, now) == datetime.datetime(2026, 1, day, hour, minute).timestamp()


def test_the_learning_rate_warms_up_holds_and_decays():
    options = Recipe("x").optim
    rates = [learning_rate(p, options) for p in (0.0, options.warmup, options.decay_from - 0.01, 1.0)]
    assert rates == [0.0, 1.0, 1.0, 0.0]


def test_an_unknown_recipe_key_is_named(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\nmodel: {hidden: 3}\n")
    with pytest.raises(ValueError, match="hidden"):
        Recipe.load(path)
    assert dataclasses.is_dataclass(Recipe)
