"""Llama, Mistral and Ministral 3 as transformers saves them: the same logits as transformers computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from trimode.text.tokenizer import Tokenizer
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.verify.numpy_model import forward
from trimode_convert.verify.passes import Pass

from tests.support import llama_checkpoints as factory

LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
MINISTRAL = {
    "rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "original_max_position_embeddings": 16, "beta_fast": 32.0,
    "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
    "max_position_embeddings": 512,
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "tied": ("Llama", {"tie_word_embeddings": True}),
    "llama3": ("Llama", {"rope_parameters": LLAMA3}),
    "yarn": ("Llama", {"rope_parameters": YARN}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "ministral3": ("Ministral3", {"rope_parameters": MINISTRAL}),
}
TOLERANCE = 1e-5  # share of the largest logit; measured 1e-6
TOKENS = 100  # enough to pass the original length of every scaled case


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    family, changes = CASES[name]
    keys: tuple[str, ...] = (
        "hidden_size",
        "num_hidden_layers",
        "intermediate_size",
        "num_attention_heads",
        "num_key_value_heads",
    )
    keys += ("head_dim", "vocab_size", "rms_norm_eps", "max_position_embeddings", "eos_token_id", "bos_token_id")
    config = getattr(transformers, f"{family}Config")(**{key: factory.settings()[key] for key in keys}, **changes)
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval().float()
    for weight in model.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    model.save_pretrained(tmp_path)
    factory.write_tokenizer(tmp_path)
    ids = np.random.default_rng(0).integers(len(factory.SPECIAL), len(factory.TOKENS), TOKENS)
    with torch.no_grad():
        expected = model(torch.tensor(ids)[None]).logits[0].numpy()
    with Checkpoint.open(tmp_path) as checkpoint:
        (ours,) = forward(checkpoint, [Pass("", ids, 0, causal=True)])
    assert np.abs(ours - expected).max() / np.abs(expected).max() < TOLERANCE


@pytest.mark.subprocess  # the template is rendered in a process of its own
def test_the_chat_template_is_rendered_as_transformers_does(tmp_path: Path) -> None:
    with Checkpoint.open(factory.write_gguf(tmp_path / "m.gguf")) as checkpoint:
        for name, content in checkpoint.side_files.items():
            (tmp_path / name).write_bytes(content)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    theirs.chat_template = (tmp_path / "chat_template.jinja").read_text()
    ours = Tokenizer.load(tmp_path)
    assert ours is not None
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": "hello\nworld 12"}]
    text = ours.render_chat(messages, enable_thinking=False)
    assert text == theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
