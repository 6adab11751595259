"""The README's table of results, written between its two markers from the same JSON as the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from . import held, report

MARKED = re.compile(r"(?<=<!-- results -->\n).*?(?=\n<!-- /results -->)", re.DOTALL)


def block(found: dict[str, dict[str, Any]]) -> str:
    """Return the table and what a reader must know to read it."""
    bench, decoding = found["bench"], found["decoding"]
    facts, over = bench["hardware"], bench["summary"]["over_engine"]
    extra = [bench["summary"]["added_milliseconds"][mode]["grpc"]["median"] for mode in report.MODES]
    added = f"{min(extra):.1f} to {max(extra):.1f} ms an answer"
    times = ", ".join(f"{over[mode]['grpc']['median']:.2f} ({mode})" for mode in report.MODES)
    return f"""{report.headline(bench, decoding)}

The shipped {facts["model"]} checkpoint on {facts["cores"]} CPU cores, {facts["engine"]},
{facts["precision"]}; held-out prompts, one at a time, written by `make perf`. Speed is timed on prompts of the
domains that the checkpoint claims; the other columns are over every domain, those it does not claim and plain code
included. Speed is tokens per second against autoregressive through the same path, medians with quartiles. Through
Triton over gRPC an answer takes, against the engine's passes alone: {times}; the answers are short,
and what is added is {added}. {_slower(found)} {_held(found)}"""


def _slower(found: dict[str, dict[str, Any]]) -> str:
    """Say on which domains a block gives fewer tokens per pass than the pass costs in passes over one token."""
    size = found["bench"]["hardware"]["block_size"]
    cost = next(row["times_one"]["median"] for row in found["cost"]["rows"] if row["tokens"] == size)
    losing = {
        mode: [name for name, modes in found["decoding"]["domains"].items() if modes[mode]["tokens_per_forward"] < cost]
        for mode in ("diffusion", "self_speculation")
    }
    where = "; ".join(f"{mode} on {', '.join(names) or 'none'}" for mode, names in losing.items())
    return f"""A pass over a block of {size} costs {cost:.2f} passes over one token on this machine. Domains with
fewer tokens per forward than that must be slower than autoregressive: {where}."""


def _held(found: dict[str, dict[str, Any]]) -> str:
    """Say how much of what must hold does not, and how auto does at every load."""
    lines = held.claims(found)
    failed = sum(not holds for _, holds in lines)
    levels = held.by_level(found["concurrency"])
    shares = ", ".join(f"{share.median:.0%} at {level}" for level, (_, share) in levels.items())
    choice, gain = held.overall(found["domains"])
    return f"""Auto, asked one prompt at a time, is {gain:.2f} times as fast over all
domains as the best single fixed choice that gives the same text ({choice}); at so many requests
at once it has this share of the best fixed choice's speed (medians of pairs of one round): {shares}.
Of the {len(lines)} budgets of overhead and speed that are to hold, {failed} do not, on this
machine; [perf/RESULTS.md](perf/RESULTS.md) has them with their figures."""


def insert(readme: Path, found: dict[str, dict[str, Any]]) -> None:
    """Put the block between the markers of `readme`."""
    text = readme.read_text(encoding="utf-8")
    readme.write_text(MARKED.sub(lambda _: block(found), text), encoding="utf-8")
