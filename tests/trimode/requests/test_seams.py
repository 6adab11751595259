"""A text with gaps: pieces, sizes, capacity, and the tokens on both sides of a gap."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.decoding.infill_state import Reading
from trimode.requests.seams import GapContext, Start, agreement
from trimode.text.tokenizer import Tokenizer

from tests.support.tokenizers import MERGING, TOKENIZER, WORDS
from tests.support.toy import EOS, VOCAB

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def sides(left: str, right: str, *, end_id: int | None = None, tokenizer: Tokenizer = TOKENIZER) -> GapContext:
    return GapContext(tokenizer, left, right, block=8, end_id=end_id, capacity=512)


# GapContext


def test_the_right_side_is_at_most_a_block() -> None:
    assert sides("", "y" * 100).right == TOKENIZER.encode("y" * 8)
    assert sides("", "yz").right == TOKENIZER.encode("yz")


def test_a_right_side_that_ends_the_turn_is_filled_up_with_end_tokens() -> None:
    assert sides("", "yz", end_id=EOS).right == [*TOKENIZER.encode("yz"), *[EOS] * 6]
    assert EOS not in sides("", "y" * 8, end_id=EOS).right


def plain(both: GapContext, filled: Sequence[int]) -> Reading:
    """What `filled` stands for behind the whole left side, as it is."""
    return both.read(both.starts[-1], filled)[0]


@pytest.mark.parametrize(("right", "ends"), [("y" * 7, 1), ("y" * 8, 0), ("y" * 99, 0), ("", 1)])
def test_a_scored_text_has_one_end_token_if_the_turns_end_is_in_sight(right: str, ends: int) -> None:
    ids = plain(sides("x", right, end_id=EOS), []).ids
    assert ids == [*TOKENIZER.encode("x" + right[:8]), *[EOS] * ends]


def test_the_left_side_is_tokenized_again_from_a_few_tokens_on() -> None:
    found = plain(sides("x" * 50, "z"), TOKENIZER.encode("abc"))
    assert (found.ids, found.first) == (TOKENIZER.encode("x" * 50 + "abcz"), 50)


@pytest.mark.parametrize("left", ["<eos>", "a<eos>", "<eos>b", "a<eos>bc", "<eos><mask>b", "x" * 20 + "<eos>xyz"])
def test_marked_special_tokens_of_the_left_side_are_text_wherever_the_seam_is(left: str) -> None:
    marked = TOKENIZER.mark(left)
    both = GapContext(TOKENIZER, marked, "z", block=8, end_id=None, capacity=512, marked=True)
    prompt = both.starts[-1].prompt
    assert EOS not in prompt and b"".join(TOKENIZER.vocabulary.of(prompt)).decode() == left
    found = plain(both, TOKENIZER.encode("gap"))
    assert b"".join(TOKENIZER.vocabulary.of(found.ids)).decode() == left + "gapz"
    assert found.first == len(prompt)


def test_tokens_merge_across_both_seams() -> None:
    both = sides("xa", "b", tokenizer=MERGING)
    found = plain(both, MERGING.encode("b a"))
    assert found.ids == MERGING.encode("xab ab") and len(found.ids) == 4
    assert found.first == 1, "the merged token holds something of the gap"


def test_what_goes_beyond_the_capacity_is_not_scored() -> None:
    both = GapContext(TOKENIZER, "x" * 9, "y" * 8, block=8, end_id=EOS, capacity=16)
    found = plain(both, TOKENIZER.encode("abc"))
    assert (found.ids, found.first) == (TOKENIZER.encode("x" * 9 + "abc" + "y" * 4), 9)


def test_a_seam_never_begins_inside_a_character() -> None:
    left = "é" * 20 + "y"
    assert plain(sides(left, ""), []).ids == TOKENIZER.encode(left)


def test_a_seam_keeps_the_space_that_a_token_begins_with() -> None:
    left = " c" * 9
    assert plain(sides(left, "", tokenizer=MERGING), []).ids == MERGING.encode(left)


def test_half_characters_are_not_scored() -> None:
    first = TOKENIZER.encode("é")[0]
    assert plain(sides("a", "b"), [first]).ids == TOKENIZER.encode("ab")


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.sampled_from([TOKENIZER, MERGING]))
def test_what_is_scored_is_the_text(left: str, fill: str, right: str, tokenizer: Tokenizer) -> None:
    both = sides(left, right, tokenizer=tokenizer)
    ids, offsets = tokenizer.encode_with_offsets(right)
    near = right if len(ids) <= 8 else right[: offsets[7][1]]
    filled = tokenizer.encode(fill)
    for found in both.read(both.starts[-1], filled):
        assert tokenizer.decode(found.ids) == tokenizer.decode(tokenizer.encode(left + found.text + near))
        assert tokenizer.decode_whole(filled).startswith(found.text)
        assert 0 <= found.first <= len(found.ids)


# Readings at the right seam


def texts(left: str, fill: str, right: str, tokenizer: Tokenizer = TOKENIZER) -> list[str]:
    both = sides(left, right, tokenizer=tokenizer)
    return [found.text for found in both.read(both.starts[-1], tokenizer.encode(fill))]


@pytest.mark.parametrize(
    ("fill", "right", "expected"),
    [
        ("a.\n", "\nb", ["a.\n", "a."]),
        ("a\nbc", "\nbcd", ["a\nbc", "a"]),
        ("abab", "abc", ["abab", "ab"]),
        ("abc", "abc", ["abc", ""]),
        ("ab", "xab", ["ab"]),
        ("ab", "", ["ab"]),
        ("", "ab", [""]),
        ("né", "é", ["né", "n"]),
    ],
)
def test_an_end_that_the_right_side_begins_with_may_be_left_out(fill: str, right: str, expected: list[str]) -> None:
    assert texts("x\n", fill, right) == expected


@pytest.mark.parametrize(
    ("fill", "sizes", "expected"),
    [
        ("abc", (), [("abc", 1), ("", 1)]),
        ("abc", (3,), [("abc", 2)]),
        ("abc", (9,), [("abc", 1)]),
        ("xabc", (1,), [("x", 2)]),
        ("xabc", (4, 1), [("xabc", 2), ("x", 2)]),
        ("", (1,), [("", 0)]),
    ],
)
def test_what_has_the_size_that_was_asked_for_is_worth_most_and_nothing_the_least(
    fill: str, sizes: tuple[int, ...], expected: list[tuple[str, int]]
) -> None:
    both = sides("x\n", "abc")
    found = both.read(both.starts[-1], TOKENIZER.encode(fill), sizes)
    assert [(one.text, one.worth) for one in found] == expected


def test_a_text_that_lost_a_half_character_is_worth_nothing_to_a_gap_of_another_size() -> None:
    both = sides("x", "y")
    assert [one.worth for one in both.read(both.starts[-1], TOKENIZER.encode("aé")[:2], (2,))] == [0]


# Starts at the left seam


def starts(left: str, tokenizer: Tokenizer = WORDS) -> list[tuple[str, int]]:
    found = sides(left, "", tokenizer=tokenizer).starts
    assert (found[-1].prompt, found[-1].head, found[-1].tokens) == (tokenizer.encode(left), "", 0)
    assert found[-1].heads is None
    return [(start.head, start.tokens) for start in found[:-1]]


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ("the ", [(" ", 1)]),
        ("the f", [(" f", 1)]),
        ("the fo", [(" fo", 1)]),
        ("the fox", []),
        ("xa", [("a", 1)]),
        ("xab", []),
        ("the\n", []),
        ("a\r", []),
        ("<eos>", []),
        ("", []),
        ("é", []),
    ],
)
def test_what_could_be_part_of_a_longer_token_is_taken_back(left: str, expected: list[tuple[str, int]]) -> None:
    assert starts(left) == expected


def test_a_start_that_takes_back_asks_for_tokens_that_fit() -> None:
    both = sides("the f", "", tokenizer=WORDS)
    start = both.starts[0]
    assert start.prompt == WORDS.encode("the") and start.heads is not None
    assert [WORDS.decode([int(token)]) for token in start.heads] == [" ", " f", " fo", " fox"]
    assert [found.text for found in both.read(start, WORDS.encode(" fox"))] == ["ox"]
    assert both.read(start, WORDS.encode(" box")) == []


def test_what_was_taken_back_is_scored_in_every_start() -> None:
    both = sides("the f", "", tokenizer=WORDS)
    told = [both.read(start, WORDS.encode(text))[0] for start, text in zip(both.starts, (" fox", "ox"), strict=True)]
    assert told[0] == told[1] and told[0].first == 3


# Drafts


@pytest.mark.parametrize(
    ("draft", "right", "expected"),
    [
        ("one\ntwo", "\ntwo", "one"),
        ("one\ntwo\nthree", "\nthree", "one\ntwo"),
        ("one\nxy", "\ntwo", "one"),
        ("one", "zzz", ""),
        ("two", "two", ""),
        ("one", "", "one"),
        ("", "x", ""),
    ],
)
def test_a_draft_ends_where_it_meets_the_right_side(draft: str, right: str, expected: str) -> None:
    both = sides("x\n", right)
    assert TOKENIZER.decode(both.meet(both.starts[-1], TOKENIZER.encode(draft), most=99)) == expected


@settings(deadline=None)
@given(st.text("ab ", max_size=20), st.text("ab ", max_size=8))
def test_agreement_is_counted_at_every_place(text: str, after: str) -> None:
    counted = [next(n for n in range(len(after), -1, -1) if text[at:].startswith(after[:n])) for at in range(len(text))]
    assert agreement(text, after) == counted


@settings(deadline=None)
@given(st.lists(st.integers(2, VOCAB - 1), max_size=20), st.text("é🙂ab", max_size=6), st.sampled_from(["", "a"]))
def test_a_draft_of_any_tokens_is_cut_where_its_text_agrees_longest(draft: list[int], right: str, head: str) -> None:
    both = sides("x\n", right)
    text = TOKENIZER.decode_whole(draft)
    agreed = agreement(text[len(head) :], right)
    found = both.meet(Start([], head), draft, most=len(draft))
    if not right:
        assert found == draft
    elif not any(agreed):
        assert found == []
    else:
        place = len(head) + agreed.index(max(agreed))
        texts = [len(TOKENIZER.decode_whole(draft[:count])) for count in range(len(draft) + 1)]
        assert found == draft[: next(count for count, size in enumerate(texts) if size >= place)]


def test_a_long_draft_is_met_with_work_that_grows_as_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the thread that hands over everyone's chunks."""
    both = GapContext(TOKENIZER, "x\n", "a" * 99 + "b", block=64, end_id=None, capacity=9999)
    decoded, decode = [0], Tokenizer.decode

    def counting(self: Tokenizer, ids: Sequence[int], *, special: bool = False) -> str:
        decoded[0] += len(ids)
        return decode(self, ids, special=special)

    monkeypatch.setattr(Tokenizer, "decode", counting)
    work = []
    for size in (1024, 4096):
        decoded[0] = 0
        assert both.meet(both.starts[-1], TOKENIZER.encode("a" * size), most=size) == []
        work.append(decoded[0] / size)
    assert work[1] == pytest.approx(work[0], rel=0.05)


def test_a_draft_that_meets_the_right_side_too_late_is_none() -> None:
    both = GapContext(TOKENIZER, "x\n", "def", block=8, end_id=None, capacity=99)
    draft = TOKENIZER.encode("abcdef")
    assert TOKENIZER.decode(both.meet(both.starts[-1], draft, most=3)) == "abc"
    assert both.meet(both.starts[-1], draft, most=2) == []


def test_where_nothing_follows_a_draft_is_cut_at_the_most() -> None:
    both = GapContext(TOKENIZER, "x\n", "", block=8, end_id=EOS, capacity=99)
    assert TOKENIZER.decode(both.meet(both.starts[-1], TOKENIZER.encode("abcdef"), most=4)) == "abcd"


def test_a_draft_does_not_meet_the_right_side_in_what_was_taken_back() -> None:
    both = sides("the ", " zz", tokenizer=WORDS)
    assert WORDS.decode(both.meet(both.starts[0], WORDS.encode(" fox zz"), most=9)) == " fox"
