"""The README's table of results, written between its two markers from the same JSON as the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import report

MARKED = re.compile(r"(?<=<!-- results -->\n).*?(?=\n<!-- /results -->)", re.DOTALL)


def block(found: dict[str, dict[str, Any]]) -> str:
    """Return the table and what a reader must know to read it."""
    bench, decoding = found["bench"], found["decoding"]
    facts, over = bench["hardware"], bench["summary"]["over_engine"]
    times = ", ".join(f"{over[mode]['grpc']['median']:.2f} ({mode})" for mode in report.MODES)
    return f"""{report.headline(bench, decoding)}

The shipped {facts["model"]} checkpoint on {facts["cores"]} CPU cores, {facts["engine"]},
{facts["precision"]}; held-out prompts of its own domains, one at a time, written by `make perf`. Speed is tokens per
second against autoregressive through the same path, medians with quartiles. Through Triton over gRPC an answer takes,
against the engine's passes alone: {times}."""


def insert(readme: Path, found: dict[str, dict[str, Any]]) -> None:
    """Put the block between the markers of `readme`."""
    text = readme.read_text(encoding="utf-8")
    readme.write_text(MARKED.sub(lambda _: block(found), text), encoding="utf-8")
