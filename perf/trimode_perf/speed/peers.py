"""What people could use instead, on the same prompts, interleaved; `make peers` is this part by itself.

What a peer is, and how it is asked, is peers/'s.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from dataclasses import replace

from trimode.config import ServerConfig
from trimode.errors import TrimodeError
from trimode.runtime import Runtime

from ..common import MODEL_YAML
from ..common.claims import Claim, figure
from ..common.claims import text as text_of
from ..common.progress import MeasureError, progress, run
from ..common.results import describe
from ..peers import grid, large, table
from ..peers.comparison import Comparison
from ..peers.table import OURS, OURS_INT4, OURS_INT8
from ..peers.workers import Workers, commands, cores
from . import Context, Data, Found, Options, Part, options

TORCH = 4.0
"""Least time that torch eager takes for an autoregressive answer, in times ours; other modes have no bound."""
ANSWERS = 0.8
"""Of the time, what is spent on whole answers; the rest is for single passes."""
LONGEST = 48
"""Tokens of an answer of a checkpoint that talks: its last ones cost what its first ones cost."""
HELD = {"llama.cpp F32": 1.0, "llama.cpp Q8_0": 1.0, "llama.cpp Q4_0": 1.0}
"""Least time that llama.cpp takes for an autoregressive answer, in times ours of equal width."""
AUTO = {"llama.cpp F32": 2.5, "llama.cpp Q8_0": 1.6}
"""The same against auto, where there is something to choose."""


def measure(context: Context) -> dict[str, Data]:
    """Ask every peer and this runtime in turn; nothing where there is no interpreter with the peers' libraries."""
    asked, config = context.options, context.config
    if asked.peers_python is None:
        return {}
    narrow = {OURS_INT8: asked.int8_bundle, OURS_INT4: asked.int4_bundle}
    bundles = {OURS: asked.bundle, **{name: bundle for name, bundle in narrow.items() if bundle is not None}}
    threads = cores(config.threads)
    with Workers(commands(asked.peers_python, asked.checkpoint, threads)) as workers:
        with ExitStack() as stack:
            runtimes = {OURS: context.runtime}
            for name, bundle in bundles.items():
                if name != OURS:
                    opened = Runtime.open(replace(config, bundle=bundle.resolve()))
                    runtimes[name] = stack.enter_context(closing(opened))
            tokens = asked.max_tokens if context.runtime.manifest.denoises else min(asked.max_tokens, LONGEST)
            comparison = Comparison(runtimes, context.prompts, tokens, workers)
            answers = comparison.run(context.pace(0.0, ANSWERS))
        passes = grid.measure(bundles, workers, config, context.pace(ANSWERS))
    return {"peers": {**answers, "grid": passes, "threads": threads}}


def section(found: Found) -> str:
    """Return how peers compare."""
    peers = found["peers"]
    passes = f"\n{grid.text(peers['grid'])}\n" if "grid" in peers else ""
    return f"""## Against what people could use instead

The same checkpoint and prompts, interleaved; each peer in a process of its own that waits while another is asked. A
peer's time is from ids to ids, ours from submit to the last chunk, text included.

{table.text(peers)}
{passes}"""


def claims(found: Found) -> list[Claim]:
    """Return how much slower torch eager must be, and that llama.cpp is not faster."""
    made: list[Claim] = []
    # in records from before ours had four bits, Q4_0 stands against int8
    held = HELD.keys() - (set() if OURS_INT4 in {row["peer"] for row in found["peers"]["rows"]} else {"llama.cpp Q4_0"})
    for row in found["peers"]["rows"]:
        if "error" in row:
            made.insert(0, Claim(f"{row['peer']} was timed: {row['error']}", False))
        elif row["peer"] == "torch":
            made += [_torch(row)] if row["mode"] == "autoregressive" else []
        elif row["peer"] in held and "times_ours" in row:
            made += _llama(row)
    return made + (grid.claims(found["peers"]["grid"]) if "grid" in found["peers"] else [])


def _torch(row: Data) -> Claim:
    times = row["times_ours"]["median"]
    text = f"torch eager takes {figure(times, TORCH)} times as long in {row['mode']}, {TORCH:g} at least"
    if "times_products" in row:
        text += f"; its products alone would be {row['times_products']['median']:.1f} times as fast as it"
    return Claim(text, times >= TORCH)


def _llama(row: Data) -> list[Claim]:
    name, made = row["peer"], []
    bounds = (("times_ours", "autoregressive", HELD.get(name)), ("times_our_auto", "auto", AUTO.get(name)))
    for field, mode, least in bounds:
        if field in row and least is not None:
            times = row[field]["median"]
            text = f"{name} takes {figure(times, least)} times as long as ours of equal width in {mode}"
            made.append(Claim(f"{text}, {least:g} at least", times >= least))
    return made


def large_section(found: Found) -> str:
    """Return what passes of a large model take beside llama.cpp's."""
    return f"""## Passes of a large model

{large.text(found["peers_large"])}
"""


LARGE = Part(
    "peers-large",
    "passes of a large model",
    ("peers_large",),
    section=large_section,
    claims=lambda found: large.claims(found["peers_large"]),
)
"""What `make peers` ends with; the weights take minutes to make, so a run of all parts does without."""
PART = Part("peers", "what people could use instead", ("peers",), 90, measure, section, claims, apart=True)


def main(arguments: list[str] | None = None) -> int:
    """Compare a bundle with what people could use instead, in some minutes; print tables and claims, keep nothing."""
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
        print(table.text(found), grid.text(found["grid"]), text_of(claims({"peers": found})), sep="\n\n")
        return int(any("error" in row for row in found["rows"]))

    return run("peers", work, TrimodeError)
