"""The tokenizer that a GGUF's tables stand for: the same ids as the model's own tokenizer.json, and its template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from trimode_convert.checkpoint.gguf_source.tokenizer import PRE_TOKENIZERS, side_files, token_table, tokenizer_json
from trimode_convert.checkpoint.keys import Keys
from trimode_convert.checkpoint.special_tokens import TokenTable, unused_special

from tests.support import llama_checkpoints as factory

TEXTS = (
    "hello world", "  hello\n\n world12 3", "naïve — 東京 🦀", "a<|im_end|>b<spare>", "don't 1234", "\t\t x\r\n", "½Ⅷ²"
)  # fmt: skip


def keys(**changes: Any) -> Keys:
    return Keys(Path("m.gguf"), factory.metadata() | {f"tokenizer.ggml.{name}": one for name, one in changes.items()})


def built(**changes: Any) -> Tokenizer:
    return Tokenizer.from_str(tokenizer_json(keys(**changes)).decode())


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_those_of_the_models_own_tokenizer(tmp_path: Path, text: str) -> None:
    factory.write_tokenizer(tmp_path)
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    ours = built()
    assert ours.encode(text, add_special_tokens=False).ids == theirs.encode(text, add_special_tokens=False).ids
    ids = ours.encode(text, add_special_tokens=False).ids
    assert ours.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_every_known_pre_tokenizer_gives_a_tokenizer(name: str) -> None:
    made = built(pre=name)
    for text in TEXTS:
        assert made.decode(made.encode(text).ids, skip_special_tokens=False) == text


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        ("smollm", ["1", "2", "3", "4", "Ġa", "'s"]),
        ("gpt-2", ["1234", "Ġa", "'s"]),
        ("llama-bpe", ["123", "4", "Ġa", "'s"]),
        ("tekken", ["1", "2", "3", "4", "Ġa", "'s"]),
    ],
)
def test_digits_are_split_as_the_pre_tokenizer_says(name: str, pieces: list[str]) -> None:
    steps = built(pre=name).pre_tokenizer
    assert [piece for piece, _ in steps.pre_tokenize_str("1234 a's")] == pieces


def test_a_user_defined_token_is_whole_but_not_special() -> None:
    types = [3, 3, 3, 4] + [1] * (len(factory.TOKENS) - 4)
    made = built(token_type=types)
    assert made.encode("<spare>").ids == [factory.SPARE]
    assert made.decode([factory.SPARE], skip_special_tokens=True) == "<spare>"
    assert token_table(keys(token_type=types)).special == dict(enumerate(factory.SPECIAL[:3]))


def test_the_chat_template_and_the_roles_are_files() -> None:
    files = side_files(keys())
    assert files["chat_template.jinja"].decode() == factory.TEMPLATE
    assert json.loads(files["tokenizer_config.json"]) == {
        "bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"
    }  # fmt: skip


def test_the_highest_special_token_without_a_use_is_found() -> None:
    table = TokenTable({0: "<unk>", 1: "<a>", 2: "<b>", 9: "<c>"}, {"unk_token": "<unk>"}, "{{ '<b>' }}")
    assert unused_special(table, {5}, 10) == 9
    assert unused_special(table, {9}, 10) == 1
    assert unused_special(table, {1}, 9) is None
