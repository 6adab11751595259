"""A tokenizer that does not fit its model: refused, or the tokens that nobody can use are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode.errors import CheckpointError
from trimode_convert import cli
from trimode_convert.checkpoint.tokenizer_file import text_remarks, unused_tokens

from tests.support import checkpoints as factory

PATH = Path("tokenizer.json")
VOCAB = 50


def tokenizer(own: Any, **added: int) -> bytes:
    extra = [{"content": token, "id": number} for token, number in added.items()]
    return json.dumps({"model": {"vocab": own}, "added_tokens": extra}).encode()


def test_a_tokenizer_that_fits() -> None:
    assert unused_tokens(PATH, tokenizer({"a": 0, "b": VOCAB - 1}, c=3), VOCAB) == []
    assert unused_tokens(PATH, tokenizer([["a", -1.0], ["b", -2.0]]), VOCAB) == []
    assert unused_tokens(PATH, json.dumps({"model": {"vocab": {}}}).encode(), VOCAB) == []


@pytest.mark.parametrize("own", [{"a": 0, "wide": VOCAB}, [["t", 0.0]] * VOCAB + [["wide", 0.0]]])
def test_a_token_of_its_own_beyond_the_model_is_refused(own: Any) -> None:
    with pytest.raises(CheckpointError, match=r'below 50 \(vocab_size of config.json\), found 1 .*"wide", token 50'):
        unused_tokens(PATH, tokenizer(own), VOCAB)


def test_added_tokens_beyond_the_model_are_named() -> None:
    assert unused_tokens(PATH, tokenizer({"a": 0, "x": 60}, x=60, y=50), VOCAB) == ["x", "y"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"model": {"vocab": 3}}', b"[" * 100_000, b"\xff"])
def test_what_is_no_tokenizer_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="is not a tokenizer"):
        unused_tokens(PATH, content, VOCAB)


def test_a_build_says_what_its_server_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = factory.write(tmp_path / "checkpoint")
    assert text_remarks(folder, (), VOCAB) == ["no tokenizer.json: the server takes input_ids only"]
    (folder / "tokenizer.json").write_bytes(tokenizer({"a": 0}, extra=VOCAB))
    assert cli.main([str(folder), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "no chat template: the server refuses messages" in said
    assert "1 tokens are beyond the model's vocabulary" in said and '"extra"' in said
