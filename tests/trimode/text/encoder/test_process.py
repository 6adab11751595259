"""Tokenizers of strangers: whatever they do with a text, the answer is ids or an error, and the next one is encoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from trimode.bundle.manifest import TOKENIZER
from trimode.errors import BundleError, RequestError
from trimode.text.encoder import worker
from trimode.text.encoder.process import EncoderProcess
from trimode.text.tokenizer import Tokenizer

pytestmark = pytest.mark.subprocess

NANO = Path(__file__).parents[4] / "checkpoints" / "nano" / "tokenizer.json"
DOUBLES = {"type": "Replace", "pattern": {"Regex": "a"}, "content": "aa"}
SLOW = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Tokenizer]:
    """Load nano's tokenizer with some parts replaced."""

    def make(**parts: Any) -> Tokenizer:
        written = json.loads(NANO.read_text(encoding="utf-8")) | parts
        (tmp_path / TOKENIZER).write_text(json.dumps(written))
        loaded = Tokenizer.load(tmp_path)
        assert loaded is not None
        return loaded

    return make


def test_an_unusual_tokenizer_gives_what_it_gives_in_this_process(load: Callable[..., Tokenizer]) -> None:
    usual, unusual = load(), load(normalizer={"type": "Replace", "pattern": {"Regex": "zzz"}, "content": "y"})
    for text in ("", "What is 23 + 2221?", 'say "é" 日本 \U0001f600\n', "<|im_end|> x"):
        assert unusual.encode_with_offsets(text) == usual.encode_with_offsets(text)
    marked = usual.mark("a <|im_end|> b")
    assert unusual.encode(marked, marked=True) == usual.encode(marked, marked=True)
    assert unusual.encode("zzz") == usual.encode("y")


def test_a_text_that_grows_without_end_is_refused_and_the_next_is_not(load: Callable[..., Tokenizer]) -> None:
    tokenizer = load(normalizer={"type": "Sequence", "normalizers": [DOUBLES] * 40})
    with pytest.raises(RequestError, match="within the time and the memory") as caught:
        tokenizer.encode("a", field="text_input")
    assert caught.value.field == "text_input"
    assert tokenizer.encode("bcd") == load().encode("bcd")


def test_a_text_that_takes_too_long_is_refused_and_the_next_is_not(load: Callable[..., Tokenizer]) -> None:
    tokenizer = load(pre_tokenizer=SLOW)
    with pytest.raises(RequestError, match="tokenizer"):
        tokenizer.encode("a" * 4000 + "b")
    assert tokenizer.encode("b")


def test_a_decoder_whose_work_is_not_bounded_is_refused_at_the_start(load: Callable[..., Tokenizer]) -> None:
    with pytest.raises(BundleError, match="decoder: Replace is not one whose work is known to be bounded"):
        load(decoder={"type": "Sequence", "decoders": [DOUBLES]})


def test_the_process_ends_with_its_tokenizer() -> None:
    before = set(psutil.Process().children())
    process = EncoderProcess(NANO.read_text(encoding="utf-8"))
    assert process.encode("a", marked=False, field="")[0]
    (child,) = set(psutil.Process().children()) - before
    assert worker.__name__ in child.cmdline()
    process.close()
    assert not child.is_running()
