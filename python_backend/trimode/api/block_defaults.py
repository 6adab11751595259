"""The defaults of a block, or of a draft: its length, its steps, its threshold, and how a draft is verified."""

from __future__ import annotations

from typing import Any

from ..errors import RequestError
from .fields import Mode

DEFAULT_THRESHOLD = 0.9
"""Probability from which diffusion keeps a token at once, as in the released models' own examples."""
QUADRATIC_LENGTH = 16
"""Tokens of a draft of quadratic speculation, as in the released loop: a pass has 272 tokens, with 32 it has 1,056."""
MAX_QUADRATIC_LENGTH = 32
"""Tokens of the longest draft of quadratic speculation: its pass has 1,056 tokens."""
SMALLEST_QUADRATIC = 2
"""Tokens of the smallest draft of quadratic speculation: the first is known, so a single one would draft nothing."""


def resolve_block(values: dict[str, Any], mode: Mode, trained: int, quadratic: int) -> None:
    """Fill in the block's knobs: self-speculation drafts in one pass unless asked otherwise, diffusion at 0.9.

    Args:
        trained: the block length that the checkpoint was trained with.
        quadratic: tokens of the longest draft that one pass of the engine verifies quadratically.

    Raises:
        RequestError: a knob is out of range, or another one rules it out.
    """
    _resolve_speculation(values, trained, quadratic)
    block = values.setdefault("block_length", trained)
    asked_steps = "denoise_steps" in values
    if values.setdefault("denoise_steps", block) > block:
        raise RequestError("denoise_steps", f"must be at most block_length = {block}", values["denoise_steps"])
    reveal = values.setdefault("reveal", "threshold")
    if reveal == "steps":
        if "threshold" in values:
            limit = "does not apply to reveal steps"
            raise RequestError("threshold", limit, values["threshold"], error_type="not_applicable")
        values["threshold"] = None
    elif "threshold" not in values:
        if mode in (Mode.SELF_SPECULATION, Mode.AUTO):
            values["threshold"] = None if asked_steps else 0.0
        else:
            values["threshold"] = DEFAULT_THRESHOLD


def _resolve_speculation(values: dict[str, Any], trained: int, longest: int) -> None:
    """Fill in the draft's length of quadratic speculation, whose drafts have no passes of their own to shape."""
    if values.setdefault("speculation", "linear") == "linear":
        return
    for name in ("denoise_steps", "threshold", "reveal"):
        if name in values:
            limit = "does not apply to speculation quadratic, which drafts in one pass"
            raise RequestError(name, limit, values[name], error_type="not_applicable")
    if longest < SMALLEST_QUADRATIC:
        least = SMALLEST_QUADRATIC * (SMALLEST_QUADRATIC + 1)
        limit = f"needs an engine whose passes have at least {least} tokens: build its plan again with --quadratic"
        raise RequestError("speculation", limit, values["speculation"], error_type="not_applicable")
    block = values.setdefault("block_length", min(QUADRATIC_LENGTH, trained, longest))
    if not SMALLEST_QUADRATIC <= block <= longest:
        limit = f"must be between {SMALLEST_QUADRATIC} and {longest} for speculation quadratic on this engine"
        if longest < MAX_QUADRATIC_LENGTH:
            limit += ", whose plan allows no more: build it again with a larger --quadratic"
        raise RequestError("block_length", limit, block)
