"""What people could use instead, on the same prompts, interleaved. What a peer is, and how it is asked, is peers/'s."""

from __future__ import annotations

from ..common.claims import Claim
from ..peers import comparison, table
from . import Context, Data, Found, Part

TORCH = 4.0
"""Least time that torch eager takes, in times ours."""


def measure(context: Context) -> dict[str, Data]:
    """Ask every peer and this runtime in turn; nothing where there is no interpreter with the peers' libraries."""
    asked = context.options
    if asked.peers_python is None:
        return {}
    workers = comparison.Workers(asked.peers_python, asked.checkpoint, context.config.threads)
    found = comparison.compare(
        context.runtime, context.prompts, asked.max_tokens, context.seconds, context.progress, workers
    )
    return {"peers": found}


def section(found: Found) -> str:
    """Return how peers compare."""
    return f"""## Against what people could use instead

The same checkpoint and prompts, interleaved; each peer in a process of its own that waits while another is asked. A
peer's time is from ids to ids, ours from submit to the last chunk, text included.

{table.text(found["peers"])}

llama.cpp is left out: llama-cpp-python comes as source only, and no GGUF of this checkpoint was made.
"""


def claims(found: Found) -> list[Claim]:
    """Return how much slower torch eager must be."""
    made: list[Claim] = []
    for row in found["peers"]["rows"]:
        if row["peer"] != "torch":
            continue
        if "error" in row:
            made.insert(0, Claim(f"torch eager was timed: {row['error']}", False))
            continue
        times = row["times_ours"]["median"]
        text = f"torch eager takes {times:.1f} times as long in {row['mode']}, {TORCH:g} at least"
        if "times_products" in row:
            text += f"; its products alone would be {row['times_products']['median']:.1f} times as fast as it"
        made.append(Claim(text, times >= TORCH))
    return made


PART = Part("peers", "what people could use instead", ("peers",), 40, measure, section, claims)
