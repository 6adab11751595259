"""The tokenizer.json of SentencePiece's BPE with bytes, as Llama 2 and the older Mistral have it, from a GGUF's tables.

The file has a score for each token and no merges: the two neighbours whose joint token has the highest score are joined
first. Source: llama.cpp, src/llama-vocab.cpp (llm_tokenizer_spm).
"""

from __future__ import annotations

from typing import Any

from trimode.errors import CheckpointError

from ..keys import Keys

MODEL = "llama"  # llama.cpp's name for it
SPACE = "▁"  # what stands for a space in the table
BYTE = 6  # gguf.TokenType: a token that stands for one byte, for text that no other token has
UNKNOWN, NORMAL, USER_DEFINED = 2, 1, 4


def model(keys: Keys, vocab: dict[str, int], types: list[int]) -> dict[str, Any]:
    """Return the entry `model` of tokenizer.json.

    Raises:
        CheckpointError: the scores are missing or do not fit the tokens, or there is not a token for each byte.
    """
    scores = keys.get("tokenizer.ggml.scores")
    if len(scores) != len(types):
        raise keys.error("tokenizer.ggml.scores", f"{len(types)} entries", len(scores))
    missing = [text for text in (f"<0x{byte:02X}>" for byte in range(256)) if text not in vocab]
    if missing:
        raise CheckpointError(
            f"{keys.path}: tokenizer.ggml.tokens: expected a token for each byte, found no {missing[0]}"
        )
    unknown = next((text for text, number in vocab.items() if types[number] == UNKNOWN), None)
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": True,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": _merges(vocab, types, scores),
    }


def normalizer(keys: Keys) -> dict[str, Any]:
    """Return the entry `normalizer`: a space before the text unless the file says no, and a letter for spaces."""
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    first = [{"type": "Prepend", "prepend": SPACE}] if keys.values.get("tokenizer.ggml.add_space_prefix", True) else []
    return {"type": "Sequence", "normalizers": [*first, spaces]}


def decoder(keys: Keys) -> dict[str, Any]:
    """Return the entry `decoder`, which takes away the first space where one was put."""
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if keys.values.get("tokenizer.ggml.add_space_prefix", True):
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}


def _merges(vocab: dict[str, int], types: list[int], scores: list[float]) -> list[list[str]]:
    """Return every cut of every token into two tokens, by the score of the whole, the highest first."""
    whole = {text: number for text, number in vocab.items() if types[number] in (NORMAL, USER_DEFINED)}
    ordered = sorted(whole, key=lambda text: -scores[whole[text]])  # equal scores stay in the table's order
    return [
        [text[:cut], text[cut:]]
        for text in ordered
        for cut in range(1, len(text))
        if text[:cut] in whole and text[cut:] in whole
    ]
