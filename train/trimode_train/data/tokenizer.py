"""The byte-level BPE tokenizer: trained with the family's special ids in place, and loaded.

Knows ids and pieces. Knows nothing about chats or tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from ..model.config import (
    BOS_ID,
    END_THINK_ID,
    EOS_ID,
    IM_START_ID,
    IMAGE_BREAK_ID,
    IMAGE_END_ID,
    IMAGE_PAD_ID,
    IMAGE_START_ID,
    RESERVED_IDS,
    THINK_ID,
)

_NAMED = {
    0: "<unk>",
    BOS_ID: "<s>",
    2: "</s>",
    IM_START_ID: "<|im_start|>",
    EOS_ID: "<|im_end|>",
    THINK_ID: "<think>",
    END_THINK_ID: "</think>",
}
_IMAGES = {
    IMAGE_START_ID: "<|image_start|>",
    IMAGE_PAD_ID: "<|image_pad|>",
    IMAGE_BREAK_ID: "<|image_break|>",
    IMAGE_END_ID: "<|image_end|>",
}
EXTRA = "|<MASK>|"
"""The token that the family's vision model has after all others; no loop uses it, the mask is id 100 there too."""
_NOT_SPECIAL = (THINK_ID, END_THINK_ID)  # kept when special tokens are skipped in decoding

# One token a digit, so that arithmetic can be learned column by column.
_SPLIT = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def reserved_tokens(images: bool = False) -> list[str]:
    """Return the strings of ids 0..127 in order; fillers are `<SPECIAL_n>`, and id 100 is the mask.

    With `images` ids 18 to 21 have the names of a model that sees.
    """
    named = _NAMED | (_IMAGES if images else {})
    return [named.get(i, f"<SPECIAL_{i}>") for i in range(RESERVED_IDS)]


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn merges from texts. Ids: 128 reserved, 256 bytes, then merges up to vocab_size."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in reserved_tokens()],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    state: dict[str, Any] = json.loads(tokenizer.to_str())
    for token in state["added_tokens"]:
        token["special"] = token["id"] not in _NOT_SPECIAL
    return Tokenizer.from_str(json.dumps(state))


def with_images(tokenizer: Tokenizer) -> Tokenizer:
    """Return a tokenizer with the names of a picture's ids and one token more, EXTRA; other ids stay as they are.

    Raises ValueError where it is one already.
    """
    if tokenizer.token_to_id(EXTRA) is not None:
        raise ValueError(f"the tokenizer has {EXTRA} already")
    names = dict(zip(reserved_tokens(), reserved_tokens(images=True), strict=True))
    state: dict[str, Any] = json.loads(tokenizer.to_str())
    last, model = tokenizer.get_vocab_size(), state["model"]
    model["vocab"] = {names.get(token, token): number for token, number in model["vocab"].items()}
    for token in state["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    state["added_tokens"].append({**state["added_tokens"][0], "id": last, "content": EXTRA, "special": True})
    return Tokenizer.from_str(json.dumps(state))


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read `tokenizer.json` from a checkpoint or run folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def tokenizer_config(max_length: int, tokens: Sequence[tuple[int, str]] | None = None) -> dict[str, Any]:
    """Return the content of tokenizer_config.json; `tokens` are the added ones, those of a text model without it."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "<|im_end|>",
        "unk_token": "<unk>",
        "mask_token": "<SPECIAL_100>",
        "add_bos_token": False,
        "add_eos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_length,
        "added_tokens_decoder": {
            str(i): {
                "content": token,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": i not in _NOT_SPECIAL,
            }
            for i, token in tokens or enumerate(reserved_tokens())
        },
    }
