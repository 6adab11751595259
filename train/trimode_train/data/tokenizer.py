"""The byte-level BPE tokenizer: trained with the family's special ids in place, and loaded.

Knows ids and pieces. Knows nothing about chats or tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from ..model.config import BOS_ID, END_THINK_ID, EOS_ID, IM_START_ID, RESERVED_IDS, THINK_ID

_NAMED = {
    0: "<unk>",
    BOS_ID: "<s>",
    2: "</s>",
    IM_START_ID: "<|im_start|>",
    EOS_ID: "<|im_end|>",
    THINK_ID: "<think>",
    END_THINK_ID: "</think>",
}
_NOT_SPECIAL = (THINK_ID, END_THINK_ID)  # kept when special tokens are skipped in decoding

# One token a digit, so that arithmetic can be learned column by column.
_SPLIT = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def reserved_tokens() -> list[str]:
    """Return the strings of ids 0..127 in order; fillers are `<SPECIAL_n>`, and id 100 is the mask."""
    return [_NAMED.get(i, f"<SPECIAL_{i}>") for i in range(RESERVED_IDS)]


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


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read `tokenizer.json` from a checkpoint or run folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def tokenizer_config(max_length: int) -> dict[str, Any]:
    """Return the content of tokenizer_config.json."""
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
            for i, token in enumerate(reserved_tokens())
        },
    }
