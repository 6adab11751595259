"""Held-out prompts and answers of a model, and what of them is among those of training."""

from __future__ import annotations

from trimode_train.data.answer_overlap import by_domain, counts_of, seen_prompts, shared_start
from trimode_train.data.answered import Answered

SYSTEM = [1, 2, 3, 4]


def answer(text: str, prompt: list[int], reply: list[int], turn: int = 0) -> Answered:
    return Answered("chat", text, turn, 0.0, [*SYSTEM, *prompt, *reply], len(SYSTEM) + len(prompt), True)


TRAINING = [answer("Tell me a tale of ice.", [10, 11, 12], [20, 21, 22]), answer("Why?", [15, 16], [23, 24])]
NEW = answer("Say it.", [30, 31, 32], [40, 41, 42])


def test_what_all_begin_with_is_the_template() -> None:
    assert shared_start([*TRAINING, NEW]) == 4


def test_new_prompts_and_answers_are_not_seen_though_the_template_is_the_same() -> None:
    found = by_domain(TRAINING, [NEW], 3)
    assert found == {
        "chat": {"asked": 1, "prompts_seen": 0, "replies": 1, "replies_seen": 0, "ngrams": 4, "ngrams_seen": 0}
    }


def test_a_prompt_counts_where_it_is_a_part_of_one_of_training() -> None:
    held_out = [answer("a tale of ice", [10, 11], [50]), NEW]
    assert seen_prompts(TRAINING, held_out) == {"a tale of ice"}
    assert by_domain(TRAINING, held_out, 3)["chat"]["prompts_seen"] == 1


def test_an_answer_and_its_ngrams_count_under_another_prompt() -> None:
    found = by_domain(TRAINING, [answer("Other", [60, 61], [20, 21, 22])], 3)["chat"]
    assert (found["prompts_seen"], found["replies_seen"]) == (0, 1)
    assert (found["ngrams"], found["ngrams_seen"]) == (3, 1)


def test_a_second_turn_is_one_more_reply_of_the_same_prompt() -> None:
    follow_up = answer("Say it.", [30, 31, 32, 40, 41, 42, 70], [71, 72], turn=1)
    found = by_domain(TRAINING, [NEW, follow_up], 3)["chat"]
    assert (found["asked"], found["replies"], found["ngrams"]) == (1, 2, 7)


def test_the_counts_say_how_much_training_has() -> None:
    found = counts_of(TRAINING, [NEW], 3)
    assert (found["documents"], found["tokens"], found["n"]) == (2, 18, 3)
