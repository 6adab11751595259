"""What people could use instead, on the same prompts, interleaved; `make peers` is this part by itself.

What a peer is, and how it is asked, is peers/'s.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import replace

from trimode.config import ServerConfig
from trimode.errors import TrimodeError

from ..common import MODEL_YAML
from ..common.claims import Claim
from ..common.progress import MeasureError, progress, run
from ..common.results import describe
from ..peers import comparison, table
from . import Context, Data, Found, Options, Part, options

TORCH = 4.0
"""Least time that torch eager takes, in times ours."""


def measure(context: Context) -> dict[str, Data]:
    """Ask every peer and this runtime in turn; nothing where there is no interpreter with the peers' libraries."""
    asked = context.options
    if asked.peers_python is None:
        return {}
    given = (asked.peers_python, asked.checkpoint, context.config.threads)
    return {"peers": comparison.compare(context.runtime, context.prompts, asked.max_tokens, context.pace(), *given)}


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


def main(arguments: list[str] | None = None) -> int:
    """Compare a bundle with what people could use instead, in about a minute; print the table and keep nothing."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf peers", description=main.__doc__, parents=[options()])
    given = vars(made.parse_args(arguments))
    seconds, asked = given.pop("seconds") or PART.seconds_hint, Options(**given)

    def work() -> int:
        if asked.peers_python is None:
            raise MeasureError("--peers-python must name an interpreter with the peers' libraries")
        config = replace(ServerConfig.load(MODEL_YAML), prefix_cache_mib=0)
        with closing(Context(asked, config, seconds)) as context, progress(text=PART.title) as bar:
            context.progress = bar.at
            hardware = describe(context.runtime.manifest, config)
            found = {**measure(context)["peers"], "hardware": hardware}
        print(table.text(found))
        return int(any("error" in row for row in found["rows"]))

    return run("peers", work, TrimodeError)
