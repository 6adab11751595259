"""What stands for pictures in a prompt: which rows go where, in whatever pieces the prompt is read."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.vision.encoded import Encoded, PromptPictures

PAD = 19
PROMPT = [1, 18, 19, 19, 20, 19, 19, 21, 5, 18, 19, 21, 6]
FIRST = Encoded(np.arange(8, dtype=np.float32).reshape(4, 2), -7)
SECOND = Encoded(np.full((1, 2), 9, dtype=np.float32), -8)


def pictures() -> PromptPictures:
    found = PromptPictures.of(PROMPT, PAD, [FIRST, SECOND])
    assert found is not None
    return found


def test_rows_go_to_the_pads_in_order() -> None:
    assert pictures().places.tolist() == [2, 3, 5, 6, 10]
    found = pictures().within(0, len(PROMPT))
    assert found is not None and found.rows[:, 0].tolist() == [0, 2, 4, 6, 9]
    assert pictures().count == 2


@pytest.mark.parametrize("cut", range(len(PROMPT) + 1))
def test_a_prompt_read_in_two_pieces_reads_the_same_rows(cut: int) -> None:
    found: dict[int, list[float]] = {}
    for start, count in ((0, cut), (cut, len(PROMPT) - cut)):
        part = pictures().within(start, count)
        if part is not None:
            assert (part.places >= 0).all() and (part.places < count).all()
            found |= {start + int(at): row.tolist() for at, row in zip(part.places, part.rows, strict=True)}
    assert list(found) == pictures().places.tolist()
    assert list(found.values()) == [*FIRST.features.tolist(), *SECOND.features.tolist()]


def test_a_piece_without_a_pad_reads_none() -> None:
    assert pictures().within(7, 3) is None


def test_keys_stand_for_pads_alone() -> None:
    assert pictures().keyed([*PROMPT, 40]) == [1, 18, -7, -7, 20, -7, -7, 21, 5, 18, -8, 21, 6, 40]
    assert pictures().keyed(PROMPT[:4]) == [1, 18, -7, -7]


def test_no_pictures() -> None:
    assert PromptPictures.of([1, 2], PAD, []) is None


@pytest.mark.parametrize("prompt", [PROMPT[:-4], [*PROMPT, PAD]])
def test_pads_must_be_as_many_as_rows(prompt: list[int]) -> None:
    with pytest.raises(ValueError, match="expected 5 tokens 19 for 2 pictures"):
        PromptPictures.of(prompt, PAD, [FIRST, SECOND])


def test_prompts_share_the_rows_of_a_picture() -> None:
    """However many sequences read it, what the encoder gave is not copied."""
    for prompt in (PROMPT, [18, 19, 19, 20, 19, 19, 21, 19]):
        found = PromptPictures.of(prompt, PAD, [FIRST, SECOND])
        assert found is not None
        part = found.within(0, 7)
        assert part is not None and np.shares_memory(part.rows, FIRST.features)
