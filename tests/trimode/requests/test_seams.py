"""A text with gaps: pieces, sizes, capacity, and the tokens on both sides of a gap."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, processors
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.infill_state import Reading
from trimode.errors import PromptTooLongError, RequestError
from trimode.requests.gapped_text import GappedText
from trimode.requests.seams import GapContext, Start, agreement
from trimode.text.tokenizer import Tokenizer

from tests.support.toy import BYTES, EOS, SPECIAL, VOCAB, byte_tokenizer

TOKENIZER = byte_tokenizer("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def merging_tokenizer(*merges: tuple[str, str]) -> Tokenizer:
    """Bytes, and pairs of them that become one token; its offsets leave spaces out unless told otherwise."""
    vocab = {token: at for at, token in enumerate([*SPECIAL, *BYTES, *("".join(pair) for pair in merges)])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    return Tokenizer(backend, None, {})


MERGING = merging_tokenizer(("a", "b"), ("Ġ", "c"), ("Ã", "©"), ("c", "Ã"))


def text_of(**given: object) -> GappedText:
    params = GenerationParams.parse({"seed": 1, **given}, Defaults(VOCAB, 8, EOS))
    return GappedText.of(params, TOKENIZER)


def sides(left: str, right: str, *, end_id: int | None = None, tokenizer: Tokenizer = TOKENIZER) -> GapContext:
    return GapContext(tokenizer, left, right, block=8, end_id=end_id, capacity=512)


def test_segments_become_pieces_and_sizes() -> None:
    text = text_of(segments=["a", "b", {}, {"infill_tokens": 3}, "c", {}])
    assert (text.pieces, text.sizes) == (("ab", "", "c", ""), ((), (3,), ()))
    assert not text.closed


def test_a_left_and_a_right_side_are_one_gap() -> None:
    assert text_of(text_input="a", suffix="b", infill_tokens=2) == GappedText("", ("a", "b"), ((2,),), closed=False)
    assert text_of(text_input="", suffix="", infill_lengths=[4, 2]).sizes == ((2, 4),)


def test_messages_are_context_and_a_begun_answer_is_the_left_side() -> None:
    asked = [{"role": "user", "content": "q"}]
    assert text_of(messages=asked, suffix="z") == GappedText("<user>q", ("", "z"), ((),), closed=True)
    begun = text_of(messages=[*asked, {"role": "assistant", "content": "it is"}], suffix="z")
    assert begun == GappedText("<user>q", ("it is", "z"), ((),), closed=True)


@pytest.mark.parametrize("given", [{"segments": ["it is", {}, "z"]}, {"text_input": "it is", "suffix": "z"}])
def test_an_instruction_is_context_too(given: dict[str, object]) -> None:
    assert text_of(instruction="q", **given) == GappedText("<user>q", ("it is", "z"), ((),), closed=True)


def test_an_instruction_for_gaps_needs_a_chat_template() -> None:
    params = GenerationParams.parse({"segments": ["a", {}], "instruction": "q"}, Defaults(VOCAB, 8, EOS))
    with pytest.raises(RequestError, match="instruction need a checkpoint with a chat template"):
        GappedText.of(params, byte_tokenizer())


def test_left_and_whole_put_the_fills_in_their_places() -> None:
    text = GappedText("ctx|", ("a", "b", "c"), ((), ()), closed=False)
    assert [text.left([]), text.left(["1"])] == ["ctx|a", "ctx|a1b"]
    assert text.whole(["1", "2"]) == "a1b2c"


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"text_input": "x" * 100, "suffix": "", "infill_tokens": 8}, "text_input", "100 tokens"),
        ({"text_input": "x" * 10**6, "suffix": "", "infill_tokens": 8}, "text_input", "1000000 characters"),
        ({"text_input": "", "suffix": "", "infill_tokens": 93}, "infill_tokens", "93 tokens"),
        ({"text_input": "", "suffix": "", "infill_lengths": [3, 93]}, "infill_lengths", "93 tokens"),
        ({"text_input": "", "suffix": "", "max_tokens": 93}, "max_tokens", "93 tokens"),
        ({"segments": [{}, {"infill_tokens": 61}]}, "segments", "93 tokens"),
        ({"segments": ["x" * 60, {}, "y", {}]}, "segments", "1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(given: dict[str, object], field: str, value: str) -> None:
    params = GenerationParams.parse(given, Defaults(VOCAB, 8, EOS))
    text = GappedText.of(params, TOKENIZER)
    with pytest.raises(PromptTooLongError) as caught:
        text.check(params, TOKENIZER, 100)
    assert caught.value.field == field
    assert caught.value.given == value or "segments" in given
    assert "100" in caught.value.limit


def test_what_just_fits_is_counted() -> None:
    params = GenerationParams.parse(
        {"text_input": "x" * 84, "suffix": "y" * 9, "infill_tokens": 8}, Defaults(VOCAB, 8, EOS)
    )
    assert GappedText.of(params, TOKENIZER).check(params, TOKENIZER, 100) == 84 + 9


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

WORDS = merging_tokenizer(("Ġ", "f"), ("Ġf", "o"), ("Ġfo", "x"), ("a", "b"), ("Ġ", "Ġ"))


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

    def counting(self: Tokenizer, ids: Sequence[int]) -> str:
        decoded[0] += len(ids)
        return decode(self, ids)

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
