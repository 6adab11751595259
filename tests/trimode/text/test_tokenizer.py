"""Text to ids and back, the chat template, and the incremental detokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, processors
from trimode.errors import BundleError, RequestError
from trimode.text.tokenizer import Tokenizer

from tests.support.toy import EOS, MASK, VOCAB, byte_tokenizer

TOKENIZER = byte_tokenizer()
END_THINK = VOCAB
CHAT = [{"role": "user", "content": 'say "é"'}]


def metaspace_tokenizer() -> Tokenizer:
    """A tokenizer whose decoder drops the space before the first word."""
    vocab = {token: number for number, token in enumerate(["▁", "▁a", "▁b", "a", "b", "<unk>"])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return Tokenizer(backend, None, {})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_text_survives_encoding_and_decoding(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text.replace("<eos>", "").replace("<mask>", "")


def test_a_special_token_in_a_text_counts_as_such() -> None:
    assert TOKENIZER.encode("<eos>") == [EOS]


def test_decode_leaves_special_tokens_out() -> None:
    assert TOKENIZER.decode([EOS, *TOKENIZER.encode("a"), EOS]) == "a"


def test_decode_keeps_the_end_of_thinking() -> None:
    assert TOKENIZER.decode([END_THINK]) == "</think>"
    assert TOKENIZER.end_think_token_id == END_THINK


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.integers(0, 40))
def test_a_text_that_does_not_fit_really_does_not(text: str, capacity: int) -> None:
    assert TOKENIZER.fits(text, capacity) or len(TOKENIZER.encode(text)) > capacity


# Offsets and special tokens


def test_every_token_knows_its_characters() -> None:
    ids, offsets = TOKENIZER.encode_with_offsets("aé🙂b")
    assert ids == TOKENIZER.encode("aé🙂b")
    assert offsets == [(0, 1), *[(1, 2)] * 2, *[(2, 3)] * 4, (3, 4)]


def test_a_space_is_among_the_characters_of_its_token_whatever_the_checkpoint_says() -> None:
    backend = byte_tokenizer()._backend
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    assert Tokenizer(backend, None, {}).encode_with_offsets(" a ")[1] == [(0, 1), (1, 2), (2, 3)]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_offsets_cover_the_text(text: str) -> None:
    _, offsets = TOKENIZER.encode_with_offsets(text)
    assert {at for start, end in offsets for at in range(start, end)} == set(range(len(text)))


def test_special_ids_are_those_of_special_tokens_alone() -> None:
    assert TOKENIZER.special_ids == (EOS, MASK)


def test_half_characters_are_left_out_of_a_whole_text() -> None:
    first, second = TOKENIZER.encode("é")
    assert TOKENIZER.decode_whole([second, *TOKENIZER.encode("a"), EOS, first]) == "a"


def test_a_template_error_names_the_field_that_the_messages_came_from() -> None:
    with pytest.raises(RequestError) as caught:
        byte_tokenizer("{{ messages.x.y }}").render_chat(CHAT, enable_thinking=False, field="instruction")
    assert caught.value.field == "instruction"


def test_without_a_template_the_error_says_where_plain_text_goes() -> None:
    with pytest.raises(RequestError, match=r"messages requires .* a chat template; plain text goes into text_input"):
        byte_tokenizer().render_chat(CHAT, enable_thinking=False)


# Loading


def saved(folder: Path) -> Path:
    byte_tokenizer()._backend.save(str(folder / "tokenizer.json"))
    return folder


def test_a_bundle_without_a_tokenizer(tmp_path: Path) -> None:
    assert Tokenizer.load(tmp_path) is None


@pytest.mark.subprocess  # its template is rendered in a process of its own
def test_a_bundle_with_everything(tmp_path: Path) -> None:
    (saved(tmp_path) / "chat_template.jinja").write_text("{{ bos_token }}|{{ eos_token }}")
    config = {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": None, "model_max_length": 5}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer is not None
    assert tokenizer.render_chat(CHAT, enable_thinking=False) == "<s>|</s>"


@pytest.mark.parametrize(
    ("name", "content"),
    [("tokenizer.json", "{"), ("tokenizer_config.json", "{"), ("chat_template.jinja", "{% if %}")],
)
def test_a_broken_file_is_a_bundle_error(tmp_path: Path, name: str, content: str) -> None:
    (saved(tmp_path) / name).write_text(content)
    with pytest.raises(BundleError, match="cannot be read"):
        Tokenizer.load(tmp_path)


def test_tokens_that_meet_a_text_begin_with_it_or_are_its_beginning() -> None:
    vocab = {token: at for at, token in enumerate(["a", "b", "c", "ab", "abc", "bc", "Ã", "<eos>"])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[("a", "b"), ("ab", "c"), ("b", "c")]))
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<eos>"])
    own = Tokenizer(backend, None, {})
    assert own.meeting("a") == [0, 3, 4]
    assert own.meeting("ab") == [0, 3, 4]
    assert own.meeting("abcd") == [0, 3, 4]
    assert own.meeting("z") == []
    assert [text for text in ("a", "ab", "abc", "b", "c", "<") if own.extends(text)] == ["a", "ab", "b"]


def test_a_token_that_the_model_does_not_have_is_refused_by_name() -> None:
    tokenizer = byte_tokenizer()
    end = tokenizer.end_think_token_id
    assert end is not None and tokenizer.beyond == {}
    smaller = Tokenizer(tokenizer._backend, None, {}, vocab_size=end)
    assert smaller.beyond == {end: "</think>"}
    assert smaller.end_think_token_id is None, "it cannot be forced"
    assert smaller.encode("abc") == tokenizer.encode("abc")
    with pytest.raises(RequestError) as caught:
        smaller.encode("a</think>", field="text_input")
    assert str(caught.value) == (
        f'text_input must have no token beyond the model\'s vocabulary of {end}, got "</think>", token {end}'
    )
    assert caught.value.error_type == "invalid_value"
