"""A checkpoint of the Llama family as train's network: its shape, its ids, its tokenizer and chat template."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_train.model.base import config_of, load_base, text_files

from tests.support import llama_checkpoints as factory


@pytest.mark.parametrize("tied", [False, True])
def test_the_ids_and_the_head_are_the_checkpoint_s(tmp_path: Path, tied: bool) -> None:
    arrays = factory.tensors()
    if tied:
        del arrays["diffusion_head.weight"]
    folder = factory.write_llama(tmp_path, factory.settings(tie_word_embeddings=tied), arrays)
    with Checkpoint.open(folder) as checkpoint:
        config = config_of(checkpoint)
    assert (config.bos_id, config.eos_id, config.mask_id, config.tied) == (1, factory.END, factory.SPARE, tied)
    model = load_base(folder)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert ("diffusion_head.weight" in model.stored()) != tied


@pytest.mark.parametrize("kind", ["folder", "gguf"])
def test_the_tokenizer_and_the_chat_template_are_the_checkpoint_s(tmp_path: Path, kind: str) -> None:
    path = factory.write_llama(tmp_path) if kind == "folder" else factory.write_gguf(tmp_path / "c.gguf")
    found = text_files(path)
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= found.keys()
    assert found["chat_template.jinja"].decode() == factory.TEMPLATE
