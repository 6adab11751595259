"""Blocks as they begin: of masks, some of them decided, and of whole drafts."""

from __future__ import annotations

from trimode.decoding.block import Block


def test_a_block_begins_as_masks_of_which_the_last_are_never_filled() -> None:
    block = Block.masked(7, 4, 9, last=3)
    assert (block.start, block.tokens.tolist(), block.open.tolist()) == (7, [9] * 4, [True, True, True, False])
    block.decide({0: 5, 2: 6, 3: 8})
    assert (block.tokens.tolist(), block.open.tolist(), block.unrevealed) == (
        [5, 9, 6, 8],
        [False, True, False, False],
        1,
    )


def test_a_draft_is_a_block_without_masks() -> None:
    block = Block.drafted(3, [5, 6])
    assert (block.start, block.tokens.tolist(), block.unrevealed, block.step) == (3, [5, 6], 0, 0)
    assert not block.open.any() and block.log_probs.shape == (2,)
