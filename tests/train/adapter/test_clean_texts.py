"""What a frozen model gives of clean texts: computed once, exact, and side by side in a batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trimode_train.adapter.clean_texts import LIKELY, CleanTexts, padded
from trimode_train.adapter.frozen import load_frozen
from trimode_train.model.model import Model, causal_bias, fused_attention

from tests.support import llama_checkpoints as factory

LONG, SHORT = torch.tensor([5, 9, 30, 31, 8, 40, 77]), torch.tensor([5, 9, 12])


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return load_frozen(factory.write_llama(tmp_path / "c"))


def test_a_text_is_the_models_causal_pass(model: Model) -> None:
    text = CleanTexts(model).of(LONG)
    length = len(LONG)
    attend = fused_attention(causal_bias(length, length))
    hidden, past = model.encoder(LONG[None], torch.arange(length)[None], attend)
    torch.testing.assert_close(text.hidden, hidden[0])
    logits = model.diffusion_head(hidden[0])
    assert text.likely.shape == (length, LIKELY) and torch.equal(text.likely[:, 0], logits.argmax(-1))
    for (keys, values), (k, v) in zip(text.past, past, strict=True):
        assert torch.equal(keys, k) and torch.equal(values, v)


def test_a_text_is_run_once(model: Model) -> None:
    texts, passes = CleanTexts(model), list[int]()
    model.encoder.register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0].shape[1]))
    assert texts.of(LONG) is texts.of(LONG.clone())
    texts.of(SHORT)
    assert passes == [len(LONG), len(SHORT)]


def test_the_caches_of_a_batch_lie_side_by_side_in_the_type_of_its_drafts(model: Model) -> None:
    texts = CleanTexts(model, torch.bfloat16)
    long, short = texts.of(LONG), texts.of(SHORT)
    for layer, sides in enumerate(padded([short, long], 8)):
        for side, whole in enumerate(sides):
            assert whole.dtype == torch.bfloat16 and whole.shape[0] == 2 and whole.shape[2] == 8
            assert torch.equal(whole[0, :, : len(SHORT)], short.past[layer][side][0])
            assert torch.equal(whole[1, :, : len(LONG)], long.past[layer][side][0])
            assert not whole[0, :, len(SHORT) :].any() and not whole[1, :, len(LONG) :].any()
