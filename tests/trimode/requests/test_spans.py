"""A text to revise: spans to tokens, what is refused, and tokens back to edits."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.api.answer import Edit
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.errors import PromptTooLongError, RequestError
from trimode.requests.revise import sequence_of
from trimode.requests.spans import Original, apply_edits, free_parts
from trimode.text.tokenizer import Tokenizer

from tests.support.tokenizers import MERGING, TOKENIZER
from tests.support.toy import EOS, MASK, VOCAB, byte_tokenizer

Spans = list[tuple[int, int]]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def parsed(text: str, **more: Any) -> GenerationParams:
    return GenerationParams.parse({"text": text, "seed": 1, **more}, Defaults(VOCAB + 1, 8, EOS))


def original(text: str, tokenizer: Tokenizer = TOKENIZER, capacity: int = 512, **more: Any) -> Original:
    return Original.of(parsed(text, **more), tokenizer, capacity)


def refused(**given: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        original(given.pop("text", "hello"), **given)
    return caught.value


# Spans to tokens


def touched(text: str, *spans: tuple[int, int], tokenizer: Tokenizer = TOKENIZER) -> list[int]:
    free = free_parts(text, tokenizer.vocabulary.of(tokenizer.encode(text)), spans)
    return [at for at, (start, end) in enumerate(free) if end > start]


def test_without_spans_all_tokens_are_touched() -> None:
    assert touched("abc") == [0, 1, 2]


def test_a_span_touches_the_tokens_of_its_characters() -> None:
    assert touched("abcdef", (1, 3), (5, 6)) == [1, 2, 5]


@pytest.mark.parametrize(("span", "tokens"), [((1, 2), [1, 2]), ((2, 3), [3, 4, 5, 6]), ((0, 1), [0]), ((3, 4), [7])])
def test_a_character_of_several_tokens_is_touched_whole(span: tuple[int, int], tokens: list[int]) -> None:
    assert touched("aé🙂b", span) == tokens


def test_a_token_that_holds_parts_of_two_characters_is_touched_by_both() -> None:
    assert len(MERGING.encode("cèx")) == 3  # "c" with the first byte of "è", its second byte, "x"
    assert touched("cèx", (0, 1), tokenizer=MERGING) == [0]
    assert touched("cèx", (1, 2), tokenizer=MERGING) == [0, 1]


def test_a_space_belongs_to_the_token_that_begins_with_it() -> None:
    assert touched("b c", (1, 2), tokenizer=MERGING) == [1]


def test_touched_is_quick_for_many_spans() -> None:
    spans = tuple((2 * at, 2 * at + 1) for at in range(100_000))
    assert sum(end for _, end in free_parts("ab" * 100_000, [b"a", b"b"] * 100_000, spans)) == 100_000


@pytest.mark.parametrize(
    ("spans", "free"),
    [
        ([(6, 8)], (1, 3)),
        ([(5, 8)], (0, 3)),
        ([(8, 12)], (3, 6)),
        ([(6, 7), (8, 9)], (1, 2)),
        ([(6, 7), (7, 9)], (1, 4)),
        ([(0, 5)], (0, 0)),
    ],
)
def test_of_a_token_at_a_spans_end_only_a_part_may_change(spans: Spans, free: tuple[int, int]) -> None:
    assert free_parts("hello world, this", [b"hello", b" world", b",", b" this"], tuple(spans))[1] == free


def test_a_token_at_a_spans_end_becomes_one_that_keeps_what_is_outside() -> None:
    """`c` and half of `è` are one token; what may come instead begins with `c`, or ends with that half."""
    left, right = original("cèx", MERGING, spans=[[1, 2]]), original("cèx", MERGING, spans=[[0, 1]])
    pieces = MERGING.vocabulary.of(range(MERGING.vocabulary.size))
    assert {pieces[at] for at in left.only[0].tolist()} == {b"c", b"c\xc3"} and left.free[1] == (0, 1)
    assert {pieces[at] for at in right.only[0].tolist()} == {b"\xc3", b"c\xc3"} and right.free[1] == (0, 0)


def test_special_tokens_of_the_text_and_the_context_are_left_alone() -> None:
    text = original("a<eos>b<mask>", instruction="q")
    seq = sequence_of(parsed("any"), text, MASK, (EOS,))
    assert seq.revise is not None
    assert seq.revise.allowed.tolist() == [False] * len("<user>q") + [True, False, True, False]
    assert (seq.prompt, seq.revise.filler) == (TOKENIZER.encode("<user>q"), EOS)


# What is refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": ""}, 'text must not be empty, got ""'),
        ({"spans": [[2, 6]]}, "spans must lie inside the text of 5 characters, got [2, 6]"),
        ({"text": "e\u0301x", "spans": [[0, 1]]}, 'spans must not cut the character "e\u0301" at 1, got [0, 1]'),
        (
            {"text": "xe\u0301", "spans": [[0, 1], [2, 3]]},
            'spans must not cut the character "e\u0301" at 2, got [2, 3]',
        ),
        (
            {"text": "x" * 505},
            "text must leave room for a block of 8 in the capacity of 512 tokens, got 505 tokens",
        ),
        (
            {"text": "x" * 10**6},
            "text must leave room for a block of 8 in the capacity of 512 tokens, got 1000000 characters",
        ),
    ],
)
def test_bad_input_names_field_limit_and_value(given: dict[str, Any], message: str) -> None:
    assert str(refused(**given)) == message


def test_spans_between_whole_characters_are_taken() -> None:
    assert original("xe\u0301y", spans=[[0, 1], [1, 3], [3, 4]]).text == "xe\u0301y"
    assert original("👩\u200d🚀!", spans=[[0, 3], [3, 4]]).ids


@pytest.mark.parametrize(
    "character",
    [
        "e\u0301",
        "👩\u200d🚀",
        "👍🏽",
        "🇩🇪",
        "\u1112\u1161\u11ab",
        "\uac00\u11a8",
        "\r\n",
        "क्षि",
        "1\ufe0f\u20e3",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
    ids=["mark", "joined", "skin", "flag", "jamo", "syllable and jamo", "CRLF", "conjunct", "keycap", "tags"],
)
def test_what_people_see_as_one_character_is_not_cut(character: str) -> None:
    text = f"a{character}{character}b"
    middle = 1 + len(character)
    assert original(text, spans=[[0, 1], [1, middle], [middle, len(text) - 1]]).text == text
    for at in range(1, len(character)):
        for span in ([0, 1 + at], [1 + at, len(text)], [middle + at, len(text)]):
            error = refused(text=text, spans=[span])
            assert error.field == "spans" and "must not cut the character" in error.limit and error.given == str(span)


def test_a_character_without_end_is_told_shortly() -> None:
    error = refused(text="a" + "\u0301" * 400, spans=[[0, 7]])
    assert len(error.limit) < 100 and "401 characters" not in error.given


def test_many_spans_are_checked_quickly() -> None:
    spans = [[2 * at, 2 * at + 1] for at in range(200)]
    assert original("ab" * 200, spans=spans).free[:3] == [(0, 1), (0, 0), (0, 1)]


def test_the_instruction_counts_for_the_capacity() -> None:
    assert isinstance(refused(text="x" * 300, instruction="y" * 300), PromptTooLongError)


def test_an_instruction_needs_a_chat_template() -> None:
    assert refused(tokenizer=byte_tokenizer(), instruction="q").field == "instruction"


def test_a_text_without_tokens_is_refused() -> None:
    class Silent(Tokenizer):
        def __init__(self) -> None:
            self.longest = 1

        def encode(self, text: str, *, marked: bool = False, field: str = "") -> list[int]:
            return []

    assert "at least one token" in refused(tokenizer=Silent()).limit


def test_a_text_that_is_not_what_its_tokens_stand_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a tokenizer that normalizes would have it."""
    encode = Tokenizer.encode
    monkeypatch.setattr(
        Tokenizer, "encode", lambda self, text, **given: encode(self, text.replace("e\u0301", "é"), **given)
    )
    assert "reproduced exactly by the tokenizer" in refused(text="e\u0301x").limit


# Edits


def edits(text: str, after: list[int], tokenizer: Tokenizer = TOKENIZER) -> list[Edit]:
    return original(text, tokenizer).edits(after, tokenizer)


def test_neighbouring_changes_are_one_edit() -> None:
    assert edits("abcdef", TOKENIZER.encode("aXYdeZ")) == [Edit(1, 3, "bc", "XY"), Edit(5, 6, "f", "Z")]


def test_nothing_changed_is_no_edit() -> None:
    assert edits("aé", TOKENIZER.encode("aé")) == []


def test_a_character_changed_in_one_byte_is_changed_whole() -> None:
    assert edits("aéb", TOKENIZER.encode("aèb")) == [Edit(1, 2, "é", "è")]


def test_a_character_that_breaks_goes() -> None:
    first, second = TOKENIZER.encode("é")
    (x,) = TOKENIZER.encode("x")
    assert edits("aéb", [*TOKENIZER.encode("a"), x, second, *TOKENIZER.encode("b")]) == [Edit(1, 2, "é", "x")]
    assert edits("éb", [first, first, *TOKENIZER.encode("b")]) == [Edit(0, 1, "é", "")]


def test_a_space_inside_a_token_is_changed_with_it() -> None:
    assert edits("b c", [*MERGING.encode("b"), *MERGING.encode("x")], MERGING) == [Edit(1, 3, " c", "x")]


def test_tokens_across_characters_change_both() -> None:
    ids = MERGING.encode("cèx")
    changed = [*MERGING.encode("a"), ids[1], ids[2]]
    assert edits("cèx", changed, MERGING) == [Edit(0, 2, "cè", "a")]


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.data(), st.sampled_from([TOKENIZER, MERGING]))
def test_edits_made_give_the_text_of_the_tokens(text: str, data: st.DataObject, tokenizer: Tokenizer) -> None:
    """For any Unicode, with any token put for any other; special tokens stay what they are.

    The span is the whole text: without one, the whitespace at its end would have to stay.
    """
    one = original(text, tokenizer, spans=[(0, len(text))])
    after = [
        data.draw(st.integers(2, VOCAB - 1)) if token not in (EOS, MASK) and data.draw(st.booleans()) else token
        for token in one.ids
    ]
    found = one.edits(after, tokenizer)
    assert all(edit.before == text[edit.start : edit.end] != edit.after for edit in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    made = apply_edits(text, found)
    kept = "".join(char for char in made if char != "\ufffd")
    if not {EOS, MASK} & set(one.ids):
        assert kept == tokenizer.decode_whole(after) or "\ufffd" in tokenizer.decode(after)


def test_an_edit_is_of_the_spans_part_of_a_token() -> None:
    text = original("ab cab", MERGING, spans=[[1, 3]])
    assert text.pieces == [b"ab", b" c", b"ab"]
    after = [*MERGING.encode("a"), *MERGING.encode("c"), *MERGING.encode("ab")]
    assert text.edits(after, MERGING) == [Edit(1, 3, "b ", "")]
