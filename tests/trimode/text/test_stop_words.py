"""Stop words across chunk borders, and the visible text of an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.text.answer_text import AnswerText
from trimode.text.overlap import overlap
from trimode.text.stop_words import StopWords

from tests.support.toy import byte_tokenizer

TOKENIZER = byte_tokenizer()
TEXTS = st.text("ab", max_size=12)
WORDS = st.text("ab", min_size=1, max_size=4)


def watched(words: list[str], pieces: list[str]) -> tuple[str, bool]:
    stop = StopWords(words)
    text = "".join(stop.push(piece) for piece in pieces)
    return text + stop.finish(), stop.found


def answered(words: list[str], runs: list[list[int]], *, at_once: bool = False) -> tuple[str, int, bool]:
    """Push runs of ids until a stop word ends the answer; return text, ids used, stopped."""
    answer = AnswerText(TOKENIZER, words, at_once=at_once)
    text, total = "", 0
    for run in runs:
        piece, used, stopped = answer.push(run)
        text, total = text + piece, total + used
        if stopped:
            return text, total, True
    rest, stopped = answer.finish()
    return text + rest, total, stopped


@pytest.mark.parametrize(
    ("text", "after", "size", "proper"),
    [
        ("xab", "abc", 2, 2),
        ("xabc", "abc", 3, 0),
        ("aaa", "aaa", 3, 2),
        ("ab", "c", 0, 0),
        ("", "a", 0, 0),
        ("a", "", 0, 0),
    ],
)
def test_the_longest_end_that_another_text_begins_with(text: str, after: str, size: int, proper: int) -> None:
    assert (overlap(text, after), overlap(text, after, proper=True)) == (size, proper)


def test_text_without_a_stop_word_passes() -> None:
    assert watched(["END"], ["some", " text"]) == ("some text", False)


@pytest.mark.parametrize("pieces", [["xENDy"], ["xE", "NDy"], ["x", "E", "N", "D", "y"], ["xEN", "Dy"]])
def test_a_stop_word_ends_the_text_before_it(pieces: list[str]) -> None:
    assert watched(["END"], pieces) == ("x", True)


def test_a_beginning_of_a_stop_word_is_held_back() -> None:
    stop = StopWords(["END"])
    assert [stop.push("aE"), stop.push("N"), stop.push("x")] == ["a", "", "ENx"]


def test_a_held_back_beginning_comes_out_at_the_end() -> None:
    assert watched(["END"], ["aEN"]) == ("aEN", False)


def test_no_more_is_held_back_than_needed() -> None:
    assert StopWords(["aab"]).push("aaa") == "a"


def test_after_the_end_nothing_comes() -> None:
    stop = StopWords(["E"])
    assert [stop.push("xE"), stop.push("y"), stop.finish()] == ["x", "", ""]


def test_the_word_that_comes_first_counts() -> None:
    assert watched(["B", "A"], ["xAyB"]) == ("x", True)


@given(TEXTS, WORDS, st.data())
def test_one_word_is_found_however_the_text_is_cut(text: str, word: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    at = text.find(word)
    assert watched([word], pieces) == ((text[:at], True) if at >= 0 else (text, False))


@given(TEXTS, st.lists(WORDS, min_size=1, max_size=3))
def test_several_words_give_the_same_text_whole_or_letter_by_letter(text: str, words: list[str]) -> None:
    assert watched(words, [text]) == watched(words, list(text))


@given(TEXTS, st.lists(WORDS, min_size=1, max_size=3))
def test_what_comes_out_is_a_beginning_without_any_word(text: str, words: list[str]) -> None:
    out, found = watched(words, list(text))
    assert text.startswith(out)
    assert not any(word in out for word in words)
    assert found == any(word in text for word in words)


def test_the_answer_uses_no_token_after_the_stop_word() -> None:
    ids = TOKENIZER.encode("ab§cd")  # § takes two tokens
    assert answered(["b§"], [ids]) == ("a", 4, True)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_answer_ends_at_the_same_token_however_ids_arrive(size: int) -> None:
    ids = TOKENIZER.encode("één 🙂 stop")
    runs = [ids[at : at + size] for at in range(0, len(ids), size)]
    assert answered(["🙂"], runs) == ("één ", len(TOKENIZER.encode("één 🙂")), True)


def test_a_stop_word_made_of_broken_bytes_ends_the_answer() -> None:
    ids = TOKENIZER.encode("aé")[:-1]
    assert answered(["\N{REPLACEMENT CHARACTER}"], [ids]) == ("a", 2, True)


def test_broken_bytes_come_out_at_the_end() -> None:
    assert answered([], [TOKENIZER.encode("aé")[:-1]]) == ("a\N{REPLACEMENT CHARACTER}", 2, False)


def test_at_once_says_nothing_before_the_end() -> None:
    answer = AnswerText(TOKENIZER, [], at_once=True)
    assert answer.push(TOKENIZER.encode("abc")) == ("", 3, False)
    assert answer.finish() == ("abc", False)


def test_at_once_still_watches_for_stop_words() -> None:
    assert answered(["b"], [TOKENIZER.encode("abc")], at_once=True) == ("a", 2, True)


def test_without_a_tokenizer_there_is_no_text() -> None:
    answer = AnswerText(None, [], at_once=False)
    assert (answer.push([1, 2]), answer.finish()) == (("", 2, False), ("", False))
