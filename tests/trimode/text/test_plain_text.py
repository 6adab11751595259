"""Texts in which some special tokens count as text: those that are guarded, wherever a caller writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from trimode.api.rows.images import ImageSource
from trimode.errors import RequestError
from trimode.text.plain_text import PlainText
from trimode.text.tokenizer import Tokenizer

from tests.support.picture_checkpoints import MARKERS, TEMPLATE, write_tokenizer

MASK, IDS = 100, tuple(MARKERS)
START = MARKERS[IDS[0]]
PICTURE = ImageSource("url", "u", "messages")


def backend(folder: Path) -> tokenizers.Tokenizer:
    write_tokenizer(folder / "tokenizer.json")
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_guarded_tokens_are_text_and_others_count(tmp_path: Path) -> None:
    plain = PlainText(backend(tmp_path))
    text = f"a{START}b<mask>c"
    ids, offsets = plain.encode_guarded(text, IDS)
    assert ids.count(MASK) == 1 and not set(IDS) & set(ids)
    assert offsets == [(at, at + 1) for at in range(len(f"a{START}b"))] + [(len(f"a{START}b"), len(text) - 1)] + [
        (len(text) - 1, len(text))
    ]
    assert plain.encode_marked(plain.special_tokens.mark(text))[0].count(MASK) == 0


@pytest.mark.parametrize("marker", MARKERS.values())
def test_no_text_of_a_caller_has_a_picture_in_it(tmp_path: Path, marker: str) -> None:
    tokenizer = Tokenizer(backend(tmp_path), TEMPLATE, {}, picture_ids=IDS)
    for allowed in (False, True):
        messages = [{"role": "user", "content": (f"x{marker}", PICTURE, f"{marker}<mask>")}]
        text = tokenizer.render_chat(messages, enable_thinking=False, allow_special_tokens=allowed)
        ids = tokenizer.encode(text, marked=tokenizer.marks(allow_special_tokens=allowed))
        assert [one for one in ids if one in IDS] == [IDS[0]]
        assert (MASK in ids) is allowed
    assert not set(IDS) & set(tokenizer.encode(f"a{marker}"))
    with pytest.raises(RequestError, match="beside a picture"):
        tokenizer.picture_tokens.check(f"a{marker}", "segments")


def test_without_guards_nothing_is_different(tmp_path: Path) -> None:
    tokenizer = Tokenizer(backend(tmp_path), TEMPLATE, {})
    assert tokenizer.encode(f"a{START}")[1:] == [IDS[0]]
    assert tokenizer.mark(f"a{START}", allow_special_tokens=True) == f"a{START}"
    assert not tokenizer.marks(allow_special_tokens=True)
    with pytest.raises(RequestError, match="must hold no picture"):
        tokenizer.render_chat([{"role": "user", "content": (PICTURE,)}], enable_thinking=False)
