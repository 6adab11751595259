"""A frozen model of the Llama family: the converter's numbers, and drafts as they are at inference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.verify.numpy_model import forward
from trimode_convert.verify.passes import Pass
from trimode_train.adapter.clean_texts import CleanTexts
from trimode_train.adapter.draft_batches import Block, lay_out
from trimode_train.adapter.frozen import head_on, hidden_of, load_frozen, shortlist, student_of
from trimode_train.data.packing import Document
from trimode_train.model import lora
from trimode_train.model.base import config_of
from trimode_train.model.model import Model, bias_from, causal_bias, grouped_attention

from tests.support import llama_checkpoints as factory
from tests.support.lora import randomise

IDS = [5, 9, 30, 31, 8, 40, 77, 21, 60, 33, 12, 50]
DOCUMENT = Document(IDS, 4)


@pytest.fixture
def frozen(tmp_path: Path) -> Model:
    model = load_frozen(factory.write_llama(tmp_path / "c"))
    lora.attach(model, 4, 16)
    lora.attach_mask(model)
    randomise(model)
    return model


@pytest.mark.parametrize("tied", [False, True])
def test_logits_are_those_of_the_converters_reference(tmp_path: Path, tied: bool) -> None:
    arrays = factory.tensors()
    if tied:
        del arrays["diffusion_head.weight"]
    folder = factory.write_llama(tmp_path, factory.settings(tie_word_embeddings=tied), arrays)
    with Checkpoint.open(folder) as checkpoint:
        (expected,) = forward(checkpoint, [Pass("all", np.array(IDS), 0, causal=True)])
    model = load_frozen(folder)
    places, count = torch.arange(len(IDS))[None], len(IDS)
    found, _ = model(torch.tensor([IDS]), places, grouped_attention(causal_bias(count, count)))
    assert model.config.mask_id == factory.SPARE
    assert (model.diffusion_head.weight is model.encoder.embed_tokens.weight) == tied
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-4)


def test_scaled_rotary_positions_are_refused(tmp_path: Path) -> None:
    scaled = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
    folder = factory.write_llama(tmp_path, factory.settings(rope_scaling=scaled))
    with pytest.raises(ValueError, match="rotary positions must be plain"):
        load_frozen(folder)


def test_scaled_queries_are_refused(tmp_path: Path) -> None:
    with Checkpoint.open(factory.write_llama(tmp_path)) as checkpoint:
        scaled = replace(checkpoint.config.rope, query_scale_beta=0.1)
        with pytest.raises(ValueError, match=r"rotary positions must be plain, got .*query_scale_beta=0\.1"):
            config_of(replace(checkpoint, config=replace(checkpoint.config, rope=scaled)))


@pytest.mark.parametrize("block", [Block(5, 4, False), Block(5, 3, True)], ids=["linear", "quadratic"])
def test_hidden_states_are_those_of_inference(frozen: Model, block: Block) -> None:
    with torch.no_grad():
        found = hidden_of(frozen, CleanTexts(frozen), lay_out([DOCUMENT], [[block]], frozen.config.mask_id))
        length = len(IDS)
        clean = frozen.encoder(
            torch.tensor([IDS]), torch.arange(length)[None], grouped_attention(causal_bias(length, length))
        )
        known = block.start  # clean tokens that the block sees
        past = [(keys[:, :, :known], values[:, :, :known]) for keys, values in clean[1]]
        drafted = [frozen.config.mask_id] * block.length
        if not block.causal:
            drafted[0] = IDS[block.seed]
        places = torch.arange(known, known + block.length)[None]
        sees_all = bias_from(torch.ones(1, 1, block.length, known + block.length, dtype=torch.bool), torch.float32)
        ids, on = torch.tensor([drafted]), torch.ones(1, block.length, 1)
        hidden, _ = frozen.encoder(ids, places, grouped_attention(sees_all), past, on)
    torch.testing.assert_close(found.student, hidden[0, 1:], atol=1e-4, rtol=1e-4)
    first = block.first
    torch.testing.assert_close(
        found.teacher, clean[0][0, first - 1 : first - 1 + block.length - 1], atol=1e-4, rtol=1e-4
    )


def test_gradients_reach_the_adapter_and_the_mask_and_nothing_else(frozen: Model) -> None:
    hidden = hidden_of(frozen, CleanTexts(frozen), lay_out([DOCUMENT], [[Block(5, 4, False)]], frozen.config.mask_id))
    assert not hidden.teacher.requires_grad
    hidden.student.square().sum().backward()
    trained = {name for name, parameter in frozen.named_parameters() if parameter.grad is not None}
    assert trained == {n for n, _ in frozen.named_parameters() if "draft_branch" in n or n.endswith("mask_row")}


def test_a_student_in_bfloat16_drafts_as_the_model_does_and_trains_its_adapter(frozen: Model) -> None:
    batch = lay_out([DOCUMENT], [[Block(5, 4, False)]], frozen.config.mask_id)
    exact = hidden_of(student_of(frozen, torch.float32), CleanTexts(frozen), batch)
    dtype = torch.bfloat16
    near = hidden_of(student_of(frozen, dtype), CleanTexts(frozen, dtype), batch, dtype)
    assert torch.equal(near.teacher, exact.teacher) and torch.equal(near.likely, exact.likely)
    assert near.student.dtype == torch.float32 and not torch.equal(near.student, exact.student)
    torch.testing.assert_close(near.student, exact.student, atol=0.1, rtol=0.1)
    near.student.square().sum().backward()
    trained = {name for name, parameter in frozen.named_parameters() if parameter.grad is not None}
    assert trained == {n for n, _ in frozen.named_parameters() if "draft_branch" in n or n.endswith("mask_row")}
    assert all(weight.dtype == torch.float32 for weight in lora.weights(frozen).values())


def test_the_shortlist_has_every_place_s_best_tokens(frozen: Model) -> None:
    teacher = torch.randn(5, frozen.config.hidden_size)
    logits = frozen.diffusion_head(teacher)
    tokens = shortlist(logits.topk(4, dim=-1).indices, 8)
    assert tokens is not None and len(tokens) < frozen.config.vocab_size
    assert set(logits.argmax(-1).tolist()) <= set(tokens.tolist())
    torch.testing.assert_close(head_on(frozen, tokens)(teacher), logits[:, tokens])
    assert shortlist(logits.topk(4, dim=-1).indices, 0) is None and head_on(frozen, None) is frozen.diffusion_head
