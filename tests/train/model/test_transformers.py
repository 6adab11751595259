"""The checkpoint read by transformers as its Ministral3: same logits, same text, same ids of a conversation."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor
from trimode_train.data.chat import Message, render
from trimode_train.data.tokenizer import load_tokenizer
from trimode_train.evaluation.decode import autoregressive
from trimode_train.evaluation.scores import MAX_NEW
from trimode_train.model import shards
from trimode_train.model.config import EOS_ID, ModelConfig
from trimode_train.model.model import Model, causal_bias, grouped_attention

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported: nothing here may ask the network
import transformers

CHECKPOINT = Path(__file__).parents[3] / "checkpoints/nano"
Config = dict[str, Any]
Pair = tuple[Model, Any]  # ours and theirs
Both = Callable[[Config], Pair]
OURS_ONLY = {"architectures", "auto_map", "model_type", "torch_dtype", "transformers_version", "attn_implementation"}
BUFFERS = ("encoder.inv_freq", "model.rotary_emb.inv_freq")
CONVERSATIONS = {
    "one turn": [{"role": "user", "content": "What is 23 + 2221?"}],
    "system": [{"role": "system", "content": "Answer exactly."}, {"role": "user", "content": "Hi\n\nthere "}],
    "turns": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Sort: 3, 1."},
        {"role": "assistant", "content": "<think>\n1 < 3\n</think>Sorted: 1, 3"},
        {"role": "user", "content": "Thanks — and naïve 日本語?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "<|im_end|>"},
    ],
    "ends with a reply": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "<think>\ngreet\n</think>Hello!"},
    ],
}


def ministral_name(name: str) -> str:
    """The name transformers has for an official tensor."""
    return name.replace("encoder.", "model.", 1).replace("diffusion_head.", "lm_head.", 1)


@pytest.fixture(scope="module")
def config() -> Config:
    found: Config = json.loads((CHECKPOINT / "config.json").read_text())
    return found


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in shards.load(CHECKPOINT).items()}


@pytest.fixture(scope="module")
def both(weights: dict[str, Tensor]) -> Both:
    """A function of config.json: this project's model and transformers' of it, with the checkpoint's weights."""

    def make(config: Config) -> Pair:
        ours = Model(ModelConfig.from_official(config)).eval()
        ours.load_state_dict(weights)
        shape = {key: value for key, value in config.items() if key not in OURS_ONLY}
        theirs = transformers.Ministral3ForCausalLM(transformers.Ministral3Config(**shape)).eval()
        theirs.load_state_dict({ministral_name(name): tensor for name, tensor in weights.items()}, strict=True)
        return ours, theirs

    return make


@pytest.fixture(scope="module")
def pair(both: Both, config: Config) -> Pair:
    return both(config)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(CHECKPOINT)


@pytest.fixture(scope="module")
def prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """Twenty held-out prompts, of as many domains."""
    by_domain: dict[str, list[int]] = {}
    for line in (CHECKPOINT / "heldout.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "messages" in record:
            by_domain.setdefault(record["domain"], tokenizer.encode(render(record["messages"])).ids)
    assert len(by_domain) >= 20
    return list(by_domain.values())[:20]


@torch.no_grad()
def relative_error(pair: Pair, ids: list[int], positions: list[int]) -> float:
    """The largest difference of causal logits, over the largest logit."""
    ours, theirs = pair
    given, at = torch.tensor([ids]), torch.tensor([positions])
    n = len(ids)
    mine = ours(given, at, grouped_attention(causal_bias(n, n)))[0]
    # All ones and said so: without a mask transformers takes a gap in the positions for the start of another text.
    other = theirs(input_ids=given, position_ids=at, attention_mask=torch.ones_like(given)).logits
    assert mine.shape == other.shape
    return float((mine - other).abs().max() / mine.abs().max())


def random_ids(n: int, seed: int = 0) -> list[int]:
    return torch.randint(128, 2048, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def test_the_renamed_tensors_are_all_of_ministral3(pair: Pair) -> None:
    ours, theirs = pair
    assert {ministral_name(name) for name in ours.state_dict()} == set(theirs.state_dict())


def test_logits_are_ministral3s_on_held_out_prompts(pair: Pair, prompts: list[list[int]]) -> None:
    assert max(relative_error(pair, ids, list(range(len(ids)))) for ids in prompts) < 2e-6


def far_positions(config: Config) -> list[int]:
    """A text that goes on where the query scale changes, and again far behind."""
    limit = config["rope_parameters"]["original_max_position_embeddings"]
    return [*range(40), *range(limit - 40, limit + 40), *range(5 * limit, 5 * limit + 40)]


def test_frequencies_are_ministral3s_to_the_last_bit_but_one(pair: Pair) -> None:
    ours, theirs = (model.get_buffer(name) for model, name in zip(pair, BUFFERS, strict=True))
    torch.testing.assert_close(ours, theirs, rtol=2**-22, atol=0)
    assert pair[1].model.rotary_emb.attention_scaling == 1.0


def test_logits_are_ministral3s_across_the_original_context(both: Both, config: Config) -> None:
    ours, theirs = both(config)
    ids, positions = random_ids(160), far_positions(config)
    # Ours are rounded once, theirs at each step; at position 82,000 the last bit is a hundredth of a radian.
    assert relative_error((ours, theirs), ids, positions) < 5e-4
    ours.encoder.inv_freq.copy_(theirs.model.rotary_emb.inv_freq)
    assert relative_error((ours, theirs), ids, positions) < 2e-6


@pytest.mark.parametrize(
    "change", [{"llama_4_scaling_beta": 0.0}, {"factor": 1.0}, {"beta_fast": 16.0}, {"rope_theta": 20000.0}], ids=str
)
def test_the_comparison_sees_each_of_the_position_settings(
    both: Both, config: Config, change: dict[str, float]
) -> None:
    theirs = both(config)[1]
    ours = both(config | {"rope_parameters": config["rope_parameters"] | change})[0]
    assert relative_error((ours, theirs), random_ids(160), far_positions(config)) > 2e-2


def test_a_short_original_context_gives_ministral3s_logits(both: Both, config: Config) -> None:
    rope = config["rope_parameters"] | {"original_max_position_embeddings": 64}
    short = both(config | {"rope_parameters": rope})
    assert relative_error(short, random_ids(300), list(range(300))) < 2e-6


def test_greedy_generation_is_ministral3s(pair: Pair, prompts: list[list[int]]) -> None:
    ours, theirs = pair
    for prompt in prompts:
        ids = torch.tensor([prompt])
        generated = theirs.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, use_cache=True, max_new_tokens=MAX_NEW,
            eos_token_id=EOS_ID, pad_token_id=EOS_ID,
        )  # fmt: skip
        assert generated[0, len(prompt) :].tolist() == autoregressive(ours, prompt, MAX_NEW).ids


def test_transformers_saves_and_reloads_it(pair: Pair, tmp_path: Path) -> None:
    theirs = pair[1]
    theirs.save_pretrained(tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)
    assert type(again) is type(theirs)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert torch.equal(again.model.rotary_emb.inv_freq, theirs.model.rotary_emb.inv_freq)


@pytest.mark.parametrize("generate", [True, False])
@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_the_chat_template_gives_the_same_text_and_ids(
    tokenizer: Tokenizer, messages: list[Message], thinking: bool, generate: bool
) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(CHECKPOINT, local_files_only=True)
    options = {"add_generation_prompt": generate, "enable_thinking": thinking}
    text = render(messages, enable_thinking=thinking, generate=generate)
    assert theirs.apply_chat_template(messages, tokenize=False, **options) == text
    ids = theirs.apply_chat_template(messages, **options)
    assert ids["input_ids"] == tokenizer.encode(text).ids
