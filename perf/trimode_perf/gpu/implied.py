"""Tokens per second that measured passes imply at published acceptance lengths: arithmetic, not a measurement.

No text was generated at these sizes: the weights are random. Left out: the control loop, prefill, sampling, and the
draft adapter's own products.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..common.published import DIFFUSION_PER_FORWARD, SPECULATION_PER_CYCLE

DIFFUSION_BLOCK = 8  # the block length that the published figure is of
SPECULATION_BLOCK = 32
PASSES_A_CYCLE = 2  # a draft and its verification
NOTE = (
    "implied, not measured: published tokens per forward or cycle (arXiv 2607.05722, Tables 6 and 7) over the measured "
    "milliseconds of a pass; no text was generated at these sizes"
)


def implied(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return, for every size, rows and context whose passes were measured, tokens per second of all rows together."""
    taken = {
        (row["size"], row["rows"], row["context"], row["tokens"]): row["milliseconds"]["median"]
        for row in rows
        if "milliseconds" in row and row["size"] in DIFFUSION_PER_FORWARD
    }
    made = []
    for size, count, context in sorted({key[:3] for key in taken}, key=lambda key: (_order(key[0]), *key[1:])):

        def pass_of(tokens: int, at: tuple[str, int, int] = (size, count, context)) -> float | None:
            return taken.get((*at, tokens))

        told: dict[str, float] = {}
        if one := pass_of(1):
            told["autoregressive"] = count * 1000 / one
        if block := pass_of(DIFFUSION_BLOCK):
            told["diffusion"] = count * DIFFUSION_PER_FORWARD[size] * 1000 / block
        if block := pass_of(SPECULATION_BLOCK):
            for kind, tokens in SPECULATION_PER_CYCLE[size].items():
                told[f"self_speculation {kind}"] = count * tokens * 1000 / (PASSES_A_CYCLE * block)
        rounded = {mode: round(value, 1) for mode, value in told.items()}
        made.append({"size": size, "rows": count, "context": context, "implied_tokens_per_second": rounded})
    return made


def _order(size: str) -> int:
    return list(DIFFUSION_PER_FORWARD).index(size)
