"""`python -m trimode_perf report`: perf/results/*.json as perf/RESULTS.md, its plots and the README's block.

Every ratio is of samples that one part took in one run, interleaved. Knows nothing of what a part measures, but for the
head.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..common import PERF, PROJECT
from ..common.claims import Claim
from ..common.claims import text as text_of
from ..common.progress import MeasureError, run
from ..common.results import read as read_file
from . import (
    MODES,
    Data,
    Found,
    Part,
    auto,
    domains,
    int8,
    knobs,
    layers,
    lengths,
    passes,
    peers,
    perf_analyzer,
    startup,
    timeline,
)
from .domains import headline
from .knobs import fastest

PARTS: tuple[Part, ...] = (
    *(layers.PART, timeline.PART, layers.SPEED, peers.PART, domains.GAIN, auto.PART, lengths.PART, startup.PART),
    *(domains.PART, passes.PART, passes.OPENVINO, knobs.PART, int8.PART, perf_analyzer.PART),
)
"""In the order of the report, which is that of a run."""
HEAD = ("bench", "decoding", "sweep")
"""The results that the head of the report is written from."""
MUST_HOLD = """## What must hold

```
{claims}
```

Where a line fails: "What the control loop and Triton add" has what is added in milliseconds, and where it goes; "What
a pass costs" and a domain's tokens per forward bound what a mode can gain there. The loop is set against the engine
time of the same request, Triton against that of another one in the same round, and the machine may be faster for one.
"""
MARKED = re.compile(r"(?<=<!-- results -->\n).*?(?=\n<!-- /results -->)", re.DOTALL)


def write(out: Path, readme: Path | None) -> Path | None:
    """Write the report, its plots and `readme`'s block from `out`/results; return the report's path.

    None where a part that the head needs was never measured.
    """
    found = read(out / "results")
    if not found.keys() >= set(HEAD):
        return None
    draw(found, out / "plots")
    target = out / "RESULTS.md"
    target.write_text(text(found), encoding="utf-8")
    if readme is not None:
        page = readme.read_text(encoding="utf-8")
        readme.write_text(MARKED.sub(lambda _: block(found), page), encoding="utf-8")
    return target


def draw(found: Found, folder: Path) -> None:
    """Write the plots of the parts that were measured."""
    for part in readable(found):
        if part.plot is not None:
            part.plot[1](found, folder / part.plot[0])


def read(results: Path) -> dict[str, Data]:
    """Return what was measured, by the name of the file."""
    names = {name for part in PARTS for name in part.reads}
    files = {name: results / f"{name}.json" for name in sorted(names)}
    return {name: read_file(path) for name, path in files.items() if path.is_file()}


def text(found: Found) -> str:
    """Return the report."""
    held = MUST_HOLD.format(claims=text_of(claims(found)))
    sections = [f"{text}{_when(part, found)}" for part in readable(found) if (text := part.section(found))]
    return "\n".join([_head(found), held, *sections])


def readable(found: Found) -> list[Part]:
    """Return the parts whose results are all there."""
    return [part for part in PARTS if part.can_read(found)]


def claims(found: Found) -> list[Claim]:
    """Return what must hold, with its figures; parts that were not measured claim nothing."""
    return [claim for part in readable(found) for claim in part.claims(found)]


def block(found: Found) -> str:
    """Return the README's table and what a reader must know to read it."""
    said = " ".join(text for part in readable(found) if (text := part.summary(found)))
    every = claims(found)
    failed = sum(not claim.holds for claim in every)
    return f"""{headline(found)}

{said}
Of the {len(every)} budgets of overhead and speed that are to hold, {failed} do not, on this
machine; [perf/RESULTS.md](perf/RESULTS.md) has them with their figures."""


def _when(part: Part, found: Found) -> str:
    """Say when a part was measured, if not in the run that the head names."""
    run, own = found["bench"], found[part.reads[0]]
    if own["measured_at"] == run["measured_at"]:
        return ""
    facts = own["hardware"]
    where = f" on {facts['processor']}, {facts['cores']} cores, {facts['engine']}"
    same = all(facts[name] == run["hardware"][name] for name in ("processor", "cores", "engine", "model", "precision"))
    return f"\nMeasured by itself, by `{own['command']}` on {own['measured_at']}{'' if same else where}.\n"


def _head(found: Found) -> str:
    bench, facts = found["bench"], found["bench"]["hardware"]
    return f"""# Results

Written by `{bench["command"]}` on {bench["measured_at"]}; do not edit.

{headline(found)}

Speed is tokens per second relative to autoregressive through the same path; above 1 is faster. The block's default length
is the checkpoint's, {facts["block_size"]}; the fastest in the sweep below: {fastest(found["sweep"])}.

- Executed on **{facts["engine"]}**, {facts["threads"]} threads. Nothing here ran on a GPU.
- {facts["processor"]}, {facts["cores"]} cores, {facts["memory_gib"]} GiB; load average at the start {facts["load_average"]}.
- Model {facts["model"]}, {facts["precision"]}, block size {facts["block_size"]}; greedy, the server's defaults for every
  knob not named, at most {bench["max_tokens"]} tokens an answer.
- Times: {bench["prompts"]} held-out prompts, one at a time, {bench["rounds"]} rounds in shuffled order after a warm-up. Every ratio
  pairs samples of the same prompt and round, taken in one run; figures are medians with quartiles in brackets.
- Tokens per forward and right answers: {found["decoding"]["all"][MODES[0]]["answers"]} held-out prompts, once per mode.
- Every path and round gave the same text for the same prompt and mode: {"yes" if bench["summary"]["paths_agree"] else "NO"}.
"""  # noqa: E501


def main(arguments: list[str] | None = None) -> int:
    """Write the report again, its plots and the README's block, from what was measured."""
    argparse.ArgumentParser(prog="python -m trimode_perf report", description=main.__doc__).parse_args(arguments)

    def work() -> int:
        written = write(PERF, PROJECT / "README.md")
        if written is None:
            raise MeasureError(f"the head needs the results {', '.join(HEAD)}: make perf")
        print(f"report: wrote {written}")
        return 0

    return run("report", work)
