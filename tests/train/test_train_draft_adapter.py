import dataclasses
import json
import os
import signal
from random import Random

import pytest
import torch
from safetensors.torch import load_file
from trimode_train.adapter import draft_adapter
from trimode_train.adapter.draft_adapter import AdapterRecipe, AdapterRun
from trimode_train.adapter.draft_objective import Drafts, draft_losses, encode_drafts, hybrid
from trimode_train.adapter.own_text import OwnText, own_text, rewrite
from trimode_train.data.batches import batch_for
from trimode_train.data.corpus import Corpus
from trimode_train.data.packing import Document, NoiseOptions, pack, plan
from trimode_train.data.recipe import DataOptions, OptimOptions
from trimode_train.evaluation.decode import autoregressive, self_speculation
from trimode_train.export import export
from trimode_train.model import lora
from trimode_train.model.config import EOS_ID, MASK_ID
from trimode_train.model.model import Model, bias_from, causal_bias, grouped_attention
from trimode_train.training.bar import Bar
from trimode_train.training.clock import Clock
from trimode_train.training.objective import Tensors, visibility

RANK, ALPHA = 4, 16
ALL_MASKED = NoiseOptions(block_lengths=(8, 4), block_odds=(0.5, 0.5), shifted=0.5, all_masked=1.0, seed_masked=0.0)


def randomise(model):
    torch.manual_seed(1)
    for parameter in lora.weights(model).values():
        parameter.data = torch.randn_like(parameter) * 0.5


def prompt(seed=3, length=12):
    rng = Random(seed)
    return [rng.randrange(128, 512) for _ in range(length)]


@torch.no_grad()
def logits(model, draft=None):
    ids = torch.tensor([prompt()])
    positions = torch.arange(ids.shape[1])[None]
    return model(ids, positions, grouped_attention(causal_bias(ids.shape[1], ids.shape[1])), draft=draft)[0][0]


@pytest.fixture
def pool():
    rng = Random(1)
    return [
        Document([rng.randrange(128, 512) for _ in range(n - 1)] + [EOS_ID], start)
        for n, start in ((30, 12), (25, 5), (40, 20), (19, 3))
    ]


@pytest.fixture
def batch(pool):
    rng = Random(2)
    return Tensors.of(pack([plan(d, rng, ALL_MASKED, 128) for d in pool], 2, 128, rng, ALL_MASKED))


@pytest.fixture
def make_run(tiny_config, pool, tmp_path):
    def make(name: str) -> AdapterRun:
        torch.manual_seed(0)
        recipe = AdapterRecipe(
            "tiny", compile=False, bfloat16=False, model=tiny_config, rank=RANK, alpha=ALPHA, noise=ALL_MASKED,
            data=DataOptions(rows=2, row_length=128), optim=OptimOptions(adam_lr=1e-2, weight_decay=0.0),
        )  # fmt: skip
        (tmp_path / name).mkdir(exist_ok=True)
        # A clock that stands still at full learning rate: the result must not depend on the machine's speed.
        clock = Clock(budget=100.0, elapsed=10.0)
        clock.step = lambda seconds: None
        return AdapterRun(recipe, Model(tiny_config), OwnText(pool), clock, tmp_path / name, Bar("training"))

    return make


# -- the branch --------------------------------------------------------------------------------------------------------


def test_a_new_adapter_changes_nothing(model):
    before, names = logits(model), set(model.state_dict())
    lora.attach(model, RANK, ALPHA)
    assert torch.equal(logits(model, torch.ones(1, 12, 1)), before)
    assert names < set(model.state_dict())


def test_the_branch_acts_on_marked_tokens_only(model):
    before = logits(model)
    lora.attach(model, RANK, ALPHA)
    randomise(model)
    assert torch.equal(logits(model), before)
    marked = torch.zeros(1, 12, 1)
    marked[0, 7] = 1
    after = logits(model, marked)
    torch.testing.assert_close(after[:7], before[:7])
    assert (after[7] - before[7]).abs().max() > 0.1


def test_the_branch_equals_a_merged_projection(model, tiny_config):
    lora.attach(model, RANK, ALPHA)
    randomise(model)
    merged = Model(tiny_config).eval()
    merged.load_state_dict({k: v for k, v in model.state_dict().items() if "draft_branch" not in k})
    for layer, other in zip(model.encoder.layers, merged.encoder.layers, strict=True):
        branch = layer.self_attn.draft_branch
        other.self_attn.o_proj.weight.data += ALPHA / RANK * branch.lora_B.weight.data @ branch.lora_A.weight.data
    torch.testing.assert_close(logits(model, torch.ones(1, 12, 1)), logits(merged), atol=1e-3, rtol=1e-3)


def test_no_adapter_changes_the_greedy_text(model):
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


# -- the loss ----------------------------------------------------------------------------------------------------------


def test_every_masked_token_of_the_text_has_its_teacher(batch):
    drafts = Drafts.of(batch, 8)
    ids, positions, block, document = (getattr(batch, n).flatten() for n in ("ids", "positions", "block", "document"))
    noisy, teacher = drafts.noisy[drafts.real], drafts.teacher[drafts.real]
    assert (ids[noisy] == MASK_ID).all()
    assert (block[teacher] == 0).all()
    assert torch.equal(positions[teacher] + 1, positions[noisy])
    assert torch.equal(document[teacher], document[noisy])
    assert torch.equal(noisy // 128, teacher // 128)  # the row
    inside = sum(  # masked tokens that are not beyond their document's end
        bool(((batch.block[r] == 0) & (batch.document[r] == d) & (batch.positions[r] == p)).any())
        for r, c in (batch.ids == MASK_ID).nonzero().tolist()
        for d, p in [(batch.document[r, c], batch.positions[r, c])]
    )
    assert len(noisy) == inside == len(set(noisy.tolist()))


def test_the_hybrid_is_zero_for_equal_distributions_and_the_formula_elsewhere():
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    assert hybrid(p.log()[None], p.log()[None], 1.0).item() == pytest.approx(0, abs=1e-6)
    share = torch.exp(torch.tensor(-0.5 * 0.7))
    expected = share * (p * (p / q).log()).sum() + (1 - share) * 0.3
    assert hybrid(q.log()[None], p.log()[None], 1.0).item() == pytest.approx(expected.item(), abs=1e-6)


def test_accepted_is_the_share_that_verification_would_accept(model, batch):
    lora.attach(model, RANK, ALPHA)
    on = (batch.block > 0)[..., None].float()
    bias = bias_from(visibility(batch), torch.float32)
    hidden = encode_drafts(model, batch.ids, batch.positions, bias, on)
    drafts = Drafts.of(batch, 8)
    best = model.diffusion_head(hidden).argmax(-1).flatten()
    accepted = 0
    for noisy, teacher, real in zip(drafts.noisy.tolist(), drafts.teacher.tolist(), drafts.real.tolist(), strict=True):
        for i, j, here in zip(noisy, teacher, real, strict=True):
            if not here or best[i] != best[j]:
                break
            accepted += 1
    result = draft_losses(model, hidden, drafts)
    assert result.accepted.item() == pytest.approx(accepted / int(drafts.real.sum()))


# -- the run -----------------------------------------------------------------------------------------------------------


def test_training_raises_acceptance_and_leaves_the_base_alone(make_run):
    run = make_run("a")
    base = {k: v.clone() for k, v in run.model.state_dict().items() if "draft_branch" not in k}
    accepted, step = [], run.train_step
    run.train_step = lambda t: accepted.append(result := step(t)) or result
    run.run([], max_steps=40)
    assert sum(r.accepted for r in accepted[-5:]) > 1.2 * sum(r.accepted for r in accepted[:5])
    for name, tensor in base.items():
        assert torch.equal(run.model.state_dict()[name], tensor), name


def test_a_resumed_run_equals_an_uninterrupted_one(make_run):
    whole = make_run("whole")
    whole.run([], max_steps=6)
    make_run("parts").run([], max_steps=3)
    resumed = make_run("parts")
    resumed.resume()
    resumed.run([], max_steps=6)
    for name, tensor in lora.snapshot(whole.model).items():
        assert torch.equal(tensor, lora.snapshot(resumed.model)[name]), name


def test_a_signal_saves_and_stops(make_run):
    run = make_run("a")
    step = run.train_step
    run.train_step = lambda t: (step(t), run.step == 2 and os.kill(os.getpid(), signal.SIGTERM))[0]
    run.run([], max_steps=5)
    resumed = make_run("a")
    resumed.resume()
    assert (run.step, resumed.step) == (2, 2)


def test_the_best_measured_adapter_is_exported(make_run, monkeypatch, tmp_path):
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


def test_the_export_has_the_official_names_shapes_dtypes_and_fields(make_run, tiny_config, tmp_path):
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
    assert facts["draft_adapter"] == {"rank": RANK, "alpha": ALPHA, "steps": 7, "minutes": 0.2, "tokens": 8}


def test_a_loaded_adapter_is_the_saved_one(model, tiny_config, tmp_path):
    lora.attach(model, RANK, ALPHA)
    randomise(model)
    lora.save(lora.snapshot(model), RANK, ALPHA, tmp_path)
    other = Model(tiny_config).eval()
    other.load_state_dict({k: v for k, v in model.state_dict().items() if "draft_branch" not in k})
    lora.attach(other, RANK, ALPHA)
    lora.restore(other, load_file(tmp_path / "linear_spec_lora/adapter_model.safetensors"))
    on = torch.ones(1, 12, 1)
    assert torch.equal(logits(model, on), logits(other, on))


@pytest.fixture
def command(tiny_config, tokenizer, tmp_path):
    export(Model(tiny_config).state_dict(), tiny_config.to_official(), tokenizer, tmp_path / "c", with_held_out=False)
    data = "{rows: 2, code_share: 0, prose_share: 0}"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"name: x\nthreads: 1\ncompile: false\nbfloat16: false\ndocuments: 8\ndata: {data}")
    return [str(recipe), "--checkpoint", str(tmp_path / "c"), "--out", str(tmp_path / "run")]


def test_a_few_steps_are_saved_but_an_adapter_nobody_measured_is_not_written(command, tmp_path, capsys):
    assert draft_adapter.main([*command, "--steps", "2"]) == 0
    assert (tmp_path / "run/latest.pt").exists()
    assert not (tmp_path / "c/linear_spec_lora").exists()
    assert "no adapter was measured" in capsys.readouterr().out


@pytest.mark.parametrize(("with_adapter", "status"), [(3.0, 0), (1.0, 1)])
def test_an_adapter_that_does_not_help_is_not_written(command, tmp_path, monkeypatch, with_adapter, status):
    monkeypatch.setattr(draft_adapter, "tokens_per_cycle", lambda *_, adapter: with_adapter if adapter else 2.0)
    assert draft_adapter.main([*command, "--minutes", "0.02"]) == status
    assert (tmp_path / "c/linear_spec_lora").exists() == (status == 0)


# -- own text ----------------------------------------------------------------------------------------------------------


def test_rewritten_replies_are_the_models_greedy_text(model, pool):
    for document in rewrite(model, [*pool, *(dataclasses.replace(d, closed=False) for d in pool)], 48, batch=3):
        start = document.start
        expected = autoregressive(model, document.ids[:start], 48 - start).ids
        assert document.ids[start:] == expected
        assert document.closed == (expected[-1] == EOS_ID)


def test_right_replies_are_kept(model, pool):
    written = rewrite(model, pool, 48)
    assert {tuple(d.ids) for d in rewrite(model, written, 48)} == {tuple(d.ids) for d in written}


def test_the_pool_depends_on_the_seed_alone(model, tokenizer):
    corpus = Corpus(tokenizer, DataOptions(code_share=0, prose_share=0), max_tokens=64)
    assert own_text(model, corpus, 3, seed=5) == own_text(model, corpus, 3, seed=5)
