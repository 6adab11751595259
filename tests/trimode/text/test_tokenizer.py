"""Text to ids and back, the chat template, and the incremental detokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, processors
from trimode.errors import BundleError, RequestError
from trimode.text.detokenizer import Detokenizer
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


def rendered(template: str, *, thinking: bool = False) -> str:
    return byte_tokenizer(template).render_chat(CHAT, enable_thinking=thinking)


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


# Detokenizer

RUNS = st.lists(st.lists(st.integers(0, VOCAB), max_size=5), max_size=12)


def pieces(tokenizer: Tokenizer, runs: list[list[int]]) -> list[str]:
    detokenizer = Detokenizer(tokenizer)
    return [*(detokenizer.push(run) for run in runs), detokenizer.finish()]


@given(RUNS)
def test_the_pieces_join_to_the_whole_for_any_bytes(runs: list[list[int]]) -> None:
    assert "".join(pieces(TOKENIZER, runs)) == TOKENIZER.decode([token for run in runs for token in run])


@given(st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=10))
def test_the_pieces_join_to_the_whole_when_the_decoder_drops_a_space(runs: list[list[int]]) -> None:
    tokenizer = metaspace_tokenizer()
    assert "".join(pieces(tokenizer, runs)) == tokenizer.decode([token for run in runs for token in run])


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), max_size=20))
def test_no_piece_shows_half_a_character(text: str) -> None:
    assert "\ufffd" not in "".join(pieces(TOKENIZER, [[token] for token in TOKENIZER.encode(text)]))


def test_a_character_comes_with_its_last_byte() -> None:
    assert pieces(TOKENIZER, [[token] for token in TOKENIZER.encode("aé🙂")]) == ["a", "", "é", "", "", "", "🙂", ""]


def test_a_special_token_inside_a_character_does_not_break_it() -> None:
    first, second = TOKENIZER.encode("é")
    assert pieces(TOKENIZER, [[first], [EOS], [second]]) == ["", "", "é", ""]


def test_bytes_that_can_never_be_a_character_are_not_held_back_for_ever() -> None:
    continuation = TOKENIZER.encode("é")[1]
    assert any(pieces(TOKENIZER, [[continuation]] * 8)[:-1])


def test_the_tokens_decoded_at_a_time_stay_few_with_broken_bytes() -> None:
    widest = 0

    class Watched(Tokenizer):
        def __init__(self) -> None:
            pass

        def decode(self, ids: Sequence[int]) -> str:
            nonlocal widest
            widest = max(widest, len(ids))
            return TOKENIZER.decode(ids)

    detokenizer = Detokenizer(Watched())
    for _ in range(200):
        detokenizer.push([TOKENIZER.encode("é")[1]])
    assert widest <= 16


def test_held_ids_come_out_with_the_end() -> None:
    detokenizer = Detokenizer(TOKENIZER)
    detokenizer.hold(TOKENIZER.encode("ab"))
    assert (detokenizer.finish(), detokenizer.finish()) == ("ab", "")


# Chat template


def test_the_template_sees_messages_thinking_and_special_tokens() -> None:
    template = "{{ eos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }}{% endfor %}{{ enable_thinking }}"
    assert rendered(template, thinking=True) == '<eos>user:say "é"True'


def test_blocks_leave_no_lines_behind() -> None:
    assert rendered("{% if add_generation_prompt %}\n  {% set x = 1 %}\nhi{% endif %}") == "hi"


def test_tojson_keeps_letters_as_they_are() -> None:
    assert rendered("{{ messages[0].content | tojson }}") == r'"say \"é\""'


def test_a_template_may_break_out_of_a_loop() -> None:
    assert rendered("{% for i in [1, 2] %}{{ i }}{% break %}{% endfor %}") == "1"


def test_a_template_that_refuses_gives_its_reason() -> None:
    with pytest.raises(RequestError, match="refused by the chat template: no such role"):
        rendered("{{ raise_exception('no such role') }}")


@pytest.mark.parametrize(
    "template", ["{{ messages.x.y }}", "{{ ''.__class__.__mro__ }}", "{{ messages[0].content + 1 }}"]
)
def test_a_template_that_fails_is_a_request_error(template: str) -> None:
    with pytest.raises(RequestError) as caught:
        rendered(template)
    assert caught.value.field == "messages"


def test_messages_need_a_template() -> None:
    with pytest.raises(RequestError) as caught:
        TOKENIZER.render_chat(CHAT, enable_thinking=False)
    assert caught.value.error_type == "not_applicable"


# Loading


def saved(folder: Path) -> Path:
    byte_tokenizer()._backend.save(str(folder / "tokenizer.json"))
    return folder


def test_a_bundle_without_a_tokenizer(tmp_path: Path) -> None:
    assert Tokenizer.load(tmp_path) is None


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
