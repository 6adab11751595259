import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file
from trimode_train.card import write_card
from trimode_train.clock import Clock
from trimode_train.config import ModelConfig
from trimode_train.corpus import Corpus
from trimode_train.export import export
from trimode_train.measure import measure, table
from trimode_train.model import Model
from trimode_train.muon import orthogonalise
from trimode_train.packing import NoiseOptions
from trimode_train.recipe import DataOptions, Recipe
from trimode_train.report import Reporter
from trimode_train.trainer import Trainer, learning_rate


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


def test_the_card_and_the_results_table_are_filled(tiny_config, tokenizer, tmp_path):
    model = Model(tiny_config)
    export(model.state_dict(), tiny_config.to_official(), tokenizer, tmp_path / "out", with_held_out=False)
    line = {"domain": "talk", "messages": [{"role": "user", "content": "Hi!"}], "answer": "Hello!"}
    code = {"domain": "code", "prompt": "import os\n"}
    (tmp_path / "out/heldout.jsonl").write_text(f"{json.dumps(line)}\n{json.dumps(code)}\n")
    results = measure(tmp_path / "out")
    assert results["domains"]["talk"]["ar"] == {"asked": 1, "exact": 0.0}
    write_card(tmp_path / "out", {"steps": 1, "tokens": 2, "minutes": 3}, table(results["domains"]))
    card = (tmp_path / "out/README.md").read_text()
    assert "| talk | 0% |" in card
    assert "{{" not in card


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
