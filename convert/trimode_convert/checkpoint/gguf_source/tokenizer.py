"""tokenizer.json, tokenizer_config.json and the chat template from the tables in a GGUF file's metadata.

Byte-level BPE, the tokenizer of Llama 3, SmolLM2 and Mistral's Tekken; SentencePiece's is in sentencepiece.py. Source
of the patterns by name of the pre-tokenizer: llama.cpp, src/llama-vocab.cpp (llm_tokenizer_bpe), in the spelling of the
models' own tokenizer.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trimode.bundle.manifest import CHAT_TEMPLATE, TOKENIZER_CONFIG
from trimode.errors import CheckpointError

from ..keys import Keys
from ..special_tokens import TokenTable
from . import sentencepiece

MODEL = "gpt2"  # llama.cpp's name for byte-level BPE
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4  # gguf.TokenType

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _split(pattern: str) -> list[dict[str, Any]]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return [split, _byte_level(use_regex=False)]


_DIGITS_APART = [{"type": "Digits", "individual_digits": True}, _byte_level(use_regex=True)]
PRE_TOKENIZERS: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "smollm": (_DIGITS_APART, False),
    "gpt-2": ([_byte_level(use_regex=True)], False),
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe"), (_split(_LLAMA3), True)),
    "tekken": (_split(_TEKKEN), True),
}
"""By tokenizer.ggml.pre: the steps before BPE, and whether a whole word that is a token is taken without merges."""
_ROLES = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
"""tokenizer.ggml.<name>_token_id -> the key of tokenizer_config.json."""


def token_table(keys: Keys) -> TokenTable:
    """Return the special tokens of the metadata `keys`.

    Raises:
        CheckpointError: there is no table of tokens, or it does not fit its table of types.
    """
    tokens, types = _tokens(keys)
    special = {number: tokens[number] for number, kind in enumerate(types) if kind in (UNKNOWN, CONTROL)}
    return TokenTable(special, _roles(keys, tokens), str(keys.values.get("tokenizer.chat_template", "")))


def side_files(keys: Keys) -> dict[str, bytes]:
    """Return the chat template and the roles of special tokens, as files of a Hugging Face folder.

    Raises:
        CheckpointError: there is no table of tokens.
    """
    files = {TOKENIZER_CONFIG: _json(_roles(keys, _tokens(keys)[0]))}
    if template := keys.values.get("tokenizer.chat_template"):
        files[CHAT_TEMPLATE] = str(template).encode()
    return files


def tokenizer_json(keys: Keys) -> bytes:
    """Return the tokenizer.json that the metadata `keys` stands for.

    Raises:
        CheckpointError: a kind of tokenizer that is neither byte-level BPE nor SentencePiece's BPE, or one whose steps
            are not known.
    """
    kind = keys.get("tokenizer.ggml.model")
    if kind == sentencepiece.MODEL:
        vocab, types, added = _vocabulary(keys)
        spm = sentencepiece.normalizer(keys), sentencepiece.decoder(keys), sentencepiece.model(keys, vocab, types)
        return _json(_file(added, normalizer=spm[0], decoder=spm[1], model=spm[2]))
    if kind != MODEL:
        known = f"{MODEL!r} or {sentencepiece.MODEL!r} (or a tokenizer.json next to the file)"
        raise keys.error("tokenizer.ggml.model", known, kind)
    name = keys.get("tokenizer.ggml.pre")
    if name not in PRE_TOKENIZERS:
        raise keys.error(
            "tokenizer.ggml.pre", f"one of {', '.join(PRE_TOKENIZERS)} (or a tokenizer.json next to the file)", name
        )
    return _json(_tokenizer(keys, *PRE_TOKENIZERS[name]))


def check_tokenizer(keys: Keys, tokenizer: Keys) -> None:
    """Check that a tokenizer.json next to a GGUF file has the tokens of the file's own table.

    Raises:
        CheckpointError: names the first token that differs: the tokenizer belongs to another model.
    """
    tokens, types = _tokens(keys)
    vocab = (tokenizer.values.get("model") or {}).get("vocab")
    if not isinstance(vocab, Mapping):
        raise tokenizer.error("model.vocab", "an object of tokens", vocab)
    for number, (text, kind) in enumerate(zip(tokens, types, strict=True)):
        if kind == NORMAL and vocab.get(text) != number:
            raise tokenizer.error(f"model.vocab[{text!r}]", f"{number}, as in {keys.path.name}", vocab.get(text))


def _tokens(keys: Keys) -> tuple[list[str], list[int]]:
    tokens = keys.get("tokenizer.ggml.tokens")
    types = keys.values.get("tokenizer.ggml.token_type", [NORMAL] * len(tokens))
    if len(types) != len(tokens):
        raise keys.error("tokenizer.ggml.token_type", f"{len(tokens)} entries", len(types))
    return tokens, types


def _roles(keys: Keys, tokens: list[str]) -> dict[str, str]:
    found = {}
    for name, role in _ROLES.items():
        number = keys.values.get(f"tokenizer.ggml.{name}_token_id")
        if isinstance(number, int) and 0 <= number < len(tokens):
            found[role] = tokens[number]
    return found


def _tokenizer(keys: Keys, steps: list[dict[str, Any]], whole_words: bool) -> dict[str, Any]:
    vocab, _, added = _vocabulary(keys)
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": whole_words,
        "vocab": vocab,
        "merges": [pair.split(" ", 1) for pair in keys.get("tokenizer.ggml.merges")],
    }
    decoder = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return _file(added, pre_tokenizer={"type": "Sequence", "pretokenizers": steps}, decoder=decoder, model=model)


def _vocabulary(keys: Keys) -> tuple[dict[str, int], list[int], list[dict[str, Any]]]:
    """Return the tokens' ids, their types, and the entries of those that are found in text before anything else."""
    tokens, types = _tokens(keys)
    vocab = {text: number for number, text in enumerate(tokens)}
    if len(vocab) != len(tokens):
        raise CheckpointError(f"{keys.path}: tokenizer.ggml.tokens: expected distinct tokens, found one twice")
    added = [
        {"id": number, "content": tokens[number], "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": kind != USER_DEFINED}
        for number, kind in enumerate(types)
        if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    ]
    return vocab, types, added


def _file(added: list[dict[str, Any]], **entries: dict[str, Any]) -> dict[str, Any]:
    nothing = dict.fromkeys(("truncation", "padding"))
    steps = dict.fromkeys(("normalizer", "pre_tokenizer", "post_processor", "decoder", "model"))
    return {"version": "1.0", **nothing, "added_tokens": added, **steps, **entries}


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
