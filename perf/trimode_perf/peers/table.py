"""What was measured, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..common.markdown import spread, table

TITLES = (
    *("peer", "mode", "ms per answer", "times ours", "times our self-speculation", "times its products alone"),
    *("tokens per forward", "same ids"),
)


def text(results: dict[str, Any]) -> str:
    """Return the table and what a reader must know to read it."""
    facts = results["hardware"]
    told = [table(TITLES, [_cells(row) for row in results["rows"] if "error" not in row])]
    told += [f"\n{row['peer']} failed: {row['error']}" for row in results["rows"] if "error" in row]
    told += [
        "",
        f"{results['prompts']} held-out prompts of {facts['model']}, at most {results['max_tokens']} tokens each;",
        f"greedy; ours in {facts['precision']} as it is served, the peers in float32 by their defaults;",
        f"threads of each: {results['threads']}; {results['rounds']} rounds in shuffled order after a warm-up.",
        "Times pair samples of one prompt and round,",
        "above 1 the peer is slower; medians with quartiles. Its products alone are the products of weights that its",
        "answer took, done again with nothing between: a runtime whose products are no faster can be at most that many",
        "times as fast as the peer.",
        f"{facts['processor']}; load average at the start {facts['load_average']}.",
    ]
    return "\n".join(told)


def _cells(row: dict[str, Any]) -> Sequence[str]:
    ratios = (row.get(name) for name in ("times_ours", "times_our_self_speculation", "times_products"))
    return (
        row["about"] or row["peer"],
        row["mode"],
        spread(row["milliseconds"], 1),
        *("" if ratio is None else spread(ratio) for ratio in ratios),
        f"{row['tokens_per_forward']:.2f}",
        f"{row['same_ids']:.0%}" if "same_ids" in row else "",
    )
