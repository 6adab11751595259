"""What answers cost: OpenAI's usage, and vLLM's metrics, from the counters that come with the last piece of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from .work import Piece

PREDICTED = ("accepted_prediction_tokens", "rejected_prediction_tokens")
"""Outputs whose sums the usage has under the same names."""
COUNTS = (
    *("num_input_tokens", "num_output_tokens", "cached_tokens", "image_tokens"),
    *("verify_forwards", "total_draft_tokens", "total_accepted_draft_tokens", "max_draft_tokens"),
    "acceptance_histogram",
    *PREDICTED,
)
"""Outputs of a last piece that the usage and the metrics are made of."""


def usage(last: Sequence[Piece], prompts: int, reasoning_tokens: int = 0) -> dict[str, Any]:
    """Return the usage of a request.

    Args:
        last: the last piece of each answer.
        prompts: how many of them count for the prompt's tokens: one for each prompt, which the answers share.
        reasoning_tokens: of all answers.
    """
    each = max(len(last) // prompts, 1)
    prompt = sum(piece["num_input_tokens"] for piece in last[::each])
    cached = sum(min(piece["cached_tokens"], piece["num_input_tokens"]) for piece in last[::each])
    pictures = sum(piece["image_tokens"] for piece in last[::each])
    completion = sum(piece["num_output_tokens"] for piece in last)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, **({"image_tokens": pictures} if pictures else {})},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning_tokens,
            **dict(zip(PREDICTED, _predicted(last), strict=True)),
        },
    }


def _predicted(last: Sequence[Piece]) -> tuple[int, int]:
    """Return how many predicted tokens answers show, and how many others were verified.

    One that a stop string took back was confirmed and is not shown. OpenAI counts no more than an answer has.
    """
    accepted, rejected = (sum(piece[name] for piece in last) for name in PREDICTED)
    shown = sum(min(piece[PREDICTED[0]], piece["num_output_tokens"]) for piece in last)
    return shown, rejected + accepted - shown


def running(prompt_tokens: int, answers: Iterable[tuple[Piece, int]]) -> dict[str, Any]:
    """Return the usage while answers are made.

    Args:
        prompt_tokens: of all prompts.
        answers: of each its last piece, which is empty before its end, and how many tokens it has so far.
    """
    tokens = sum(piece["num_output_tokens"] if piece else count for piece, count in answers)
    return {"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "total_tokens": prompt_tokens + tokens}


def metrics(last: Sequence[Piece], first_seconds: float | None, seconds: float) -> dict[str, Any] | None:
    """Return vLLM's metrics of a request with one answer; None for several, as vLLM does.

    Where the server says how long its parts took, that counts. It does not for gaps, nor where nothing was run.

    Args:
        first_seconds: from the request to its first text as the front saw it; None where the answer came at once.
        seconds: from the request to the end of its answer.
    """
    if len(last) != 1:
        return None
    (piece,) = last
    drafts, drafted = piece["verify_forwards"], piece["total_draft_tokens"]
    accepted, tokens = piece["total_accepted_draft_tokens"], piece["num_output_tokens"]
    speculative = None
    if drafts:
        histogram = piece["acceptance_histogram"]  # Triton writes a list of one as its item
        speculative = {
            "mean_acceptance_length": 1 + accepted / drafts,
            "draft_acceptance_rate": accepted / drafted if drafted else 0.0,
            "acceptance_histogram": histogram if isinstance(histogram, list) else [histogram],
            "num_spec_steps": drafts,
            "num_draft_tokens": drafted,
            "num_accepted_draft_tokens": accepted,
            "num_spec_tokens": piece["max_draft_tokens"],
        }
    seen = _as_seen(first_seconds, seconds, tokens)
    timing: dict[str, float | None] = json.loads(piece["timing"]) if "timing" in piece else seen
    return {
        "time_to_first_token_ms": timing["time_to_first_token_ms"],
        "generation_time_ms": _milliseconds(seconds),
        "queue_time_ms": timing["queue_time_ms"],
        "mean_itl_ms": timing["mean_itl_ms"],
        "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
        "speculative_decoding": speculative,
    }


def _as_seen(first_seconds: float | None, seconds: float, tokens: int) -> dict[str, float | None]:
    """Return what the front alone knows of how long the parts of an answer took."""
    first = None if first_seconds is None else _milliseconds(first_seconds)
    between = None
    if first_seconds is not None and tokens > 1:
        between = _milliseconds((seconds - first_seconds) / (tokens - 1))
    return {"time_to_first_token_ms": first, "queue_time_ms": None, "mean_itl_ms": between}


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 3)
