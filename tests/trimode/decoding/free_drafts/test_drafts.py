"""Free drafts of one request: which source, how long, and how often they were right."""

from __future__ import annotations

import pytest
from trimode.decoding.free_drafts.drafts import FIRST_TOKENS, LEAST_TOKENS, FreeDrafts

PROMPT = [1, 2, 3, 4, 5, 6, 1, 2]
TEXT = list(range(100, 400))


def drafts(**more: object) -> FreeDrafts:
    given = {"max_tokens": 300, "longest": 64, "prediction": TEXT, **more}
    return FreeDrafts(PROMPT, **given)  # type: ignore[arg-type]


def cycle(free: FreeDrafts, answer: list[int], came: list[int], most: int = 999) -> int:
    """Verify the next draft after `answer`, which `came` then follows; return how many tokens were drafted."""
    draft = free.draft(answer, most).tolist()
    if draft:
        free.plan(len(draft))
    answer += came
    free.draft(answer, 0)
    return len(draft)


def right(free: FreeDrafts, answer: list[int], cycles: int) -> list[int]:
    """Verify drafts that are right; return their lengths."""
    found = []
    for _ in range(cycles):
        draft = free.draft(answer, 999).tolist()
        free.plan(len(draft))
        answer += [*draft, TEXT[len(answer) + len(draft)]]
        free.draft(answer, 0)
        found.append(len(draft))
    return found


def test_a_prediction_goes_before_what_is_looked_up() -> None:
    free = drafts(prompt_lookup=True, prediction=[7, 8])
    assert (offer := free.offer([])) is not None and (offer.kind, offer.tokens.tolist()) == ("prediction", [7, 8])
    free = drafts(prompt_lookup=True, prediction=())
    assert (offer := free.offer([])) is not None
    assert (offer.kind, offer.agreed, offer.tokens.tolist()[:5]) == ("prompt_lookup", 2, [3, 4, 5, 6, 1])


def test_the_lookup_sees_prompt_and_answer() -> None:
    free = drafts(prompt_lookup=True, prediction=())
    assert free.draft([3], 2).tolist() == [4, 5]
    assert free.draft([3, 50, 51, 52, 50, 51], 2).tolist() == [52, 50]


def test_where_the_prediction_has_nothing_the_lookup_may_have_something() -> None:
    free = drafts(prompt_lookup=True, prediction=[7, 8])
    assert free.draft([90, 91, 92, 93, 3, 4], 2).tolist() == [5, 6]


def test_without_a_source_there_is_no_draft() -> None:
    free = drafts(prediction=())
    assert free.offer([]) is None and free.draft([1], 9).tolist() == []


def test_drafts_double_while_they_are_right_up_to_the_longest() -> None:
    assert right(drafts(), [], 4) == [FIRST_TOKENS - 1, 31, 63, 63]
    assert right(drafts(longest=20), [], 2) == [FIRST_TOKENS - 1, 19]
    assert right(drafts(longest=3), [], 2) == [2, 2]


def test_a_longest_of_one_token_has_room_for_no_draft() -> None:
    assert drafts(longest=1).draft([], 9).tolist() == []


def test_drafts_halve_while_they_are_wrong_down_to_the_least() -> None:
    free, answer = drafts(), list[int]()
    lengths = [cycle(free, answer, [TEXT[len(answer)], 7, *TEXT[len(answer) + 2 :][:4]]) for _ in range(4)]
    assert lengths == [FIRST_TOKENS - 1, 7, LEAST_TOKENS - 1, LEAST_TOKENS - 1]


def test_a_draft_that_is_right_for_the_most_part_keeps_its_length() -> None:
    free = drafts()
    assert cycle(free, [], [*TEXT[:9], 7, *TEXT[10:14]]) == FIRST_TOKENS - 1
    assert len(free.draft([*TEXT[:9], 7, *TEXT[10:14]], 999)) == FIRST_TOKENS - 1


def test_a_draft_is_as_short_as_it_must_be() -> None:
    free = drafts()
    assert len(free.draft([], 5)) == 5
    free.limit = 4
    assert len(free.draft([], 5)) == 3
    free.limit = 0
    assert len(free.draft([], 5)) == 0


def chance(free: FreeDrafts, answer: list[int]) -> float:
    offer = free.offer(answer)
    assert offer is not None
    return free.chance(offer)


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize("good", [True, False])
def test_what_drafts_are_worth_is_counted_whether_or_not_they_are_verified(verified: bool, good: bool) -> None:
    free, answer = drafts(), TEXT[:5]
    first = chance(free, answer)
    for _ in range(8):
        if verified:
            free.plan(len(free.draft(answer, 4)))
        at = len(answer)
        answer = [*answer, *(TEXT[at : at + 1] if good else [7]), *TEXT[at + 1 :][:6]]
        free.offer(answer)
    assert chance(free, answer) > first if good else chance(free, answer) < first


def test_chances_are_kept_apart_by_source_and_by_what_agrees_before_a_draft() -> None:
    free, answer = drafts(), TEXT[:4]
    free.offer(answer)
    sure = chance(free, answer)
    answer = [*answer, 7]
    guessed = chance(free, answer)
    assert guessed < sure
    for _ in range(8):
        answer = [*answer, *TEXT[len(answer) : len(answer) + 3], 7]
        free.offer(answer)
    assert chance(free, answer) != guessed


def test_a_draft_that_was_not_verified_keeps_the_length() -> None:
    free = drafts()
    free.offer([])
    free.offer([7, 8, 9])
    assert len(free.draft([7, 8, 9, *TEXT[:4]], 999)) == FIRST_TOKENS - 1


def test_a_planned_draft_names_its_source_until_something_was_committed() -> None:
    free = drafts()
    free.draft([], 9)
    assert free.planned is None
    free.plan(9)
    assert free.planned == "prediction"
    free.offer(TEXT[:3])
    assert free.planned is None
