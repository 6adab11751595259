"""`python -m trimode_perf report`: perf/results/*.json as perf/RESULTS.md, its plots, and what two pages show of it.

Every ratio is of samples that one part took in one run, interleaved. Knows nothing of what a part measures, but for the
head.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from textwrap import fill

from ..common import PERF, PROJECT, gpu_pages
from ..common.claims import Claim
from ..common.claims import text as text_of
from ..common.markdown import table
from ..common.progress import MeasureError, run
from ..common.results import read as read_file
from . import (
    MODES,
    Book,
    Data,
    Found,
    Part,
    domains,
    grammar,
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
from .auto import part as auto
from .causal import report as causal
from .domains import headline
from .fronts import part as fronts
from .fronts import watched
from .knobs import fastest
from .pages import marks
from .speculation import auto_replay, free_drafts, host_side_part
from .speculation import part as speculation

PARTS: tuple[Part, ...] = (
    *(
        layers.PART,
        fronts.PART,
        timeline.PART,
        layers.SPEED,
        peers.PART,
        peers.LARGE,
        domains.GAIN,
        auto.PART,
        auto_replay.PART,
        speculation.PART,
        speculation.PAIRS,
        free_drafts.PART,
        host_side_part.PART,
        lengths.PART,
        startup.PART,
        watched.PART,
    ),
    *(domains.PART, passes.PART, passes.OPENVINO, knobs.PART, int8.PART, grammar.PART, perf_analyzer.PART),
)
"""In the order of the report, which is that of a run."""
HEAD = ("bench", "decoding", "sweep")
"""The results that the head of the report is written from."""
MUST_HOLD = """## What must hold

```
{claims}
```

Where a line fails: "What the control loop and Triton add" has what is added in milliseconds, and where it goes; "What
a pass costs" and a domain's tokens per forward bound what a mode can gain there. What Triton adds is the difference of
two medians, of answers over gRPC and of the same ones in process.
"""
OTHERS = f"-{causal.HEAD[0]}.json"
"""The end of the name of the results that a report of another model has."""
README_MODES = {
    "autoregressive": "`autoregressive`",
    "self_speculation": "`self_speculation`",
    "auto": "`auto` (default)",
    "diffusion": "`diffusion`",
}
"""The modes in the README's order, as it names them."""
MARKED = re.compile(r"(?<=<!-- results -->\n).*?(?=\n<!-- /results -->)", re.DOTALL)


def write(out: Path, project: Path | None) -> Path | None:
    """Write the report and its plots from `out`/results, and the blocks of `project`'s pages; return the report's path.

    None where a part that the head needs was never measured.
    """
    found = read(out / "results")
    if not found.keys() >= set(HEAD):
        return None
    draw(found, out / "plots")
    target = out / "RESULTS.md"
    target.write_text(text(found), encoding="utf-8")
    if project is not None:
        for name, block in blocks(found).items():
            page = (project / name).read_text(encoding="utf-8")
            (project / name).write_text(MARKED.sub(lambda _, block=block: block, page), encoding="utf-8")  # type: ignore[misc]
        marks.write(project, out / "results")
        gpu_pages.write(project, out / "results" / "gpu")
    return target


def blocks(found: Found) -> dict[str, str]:
    """Return what stands between the marks of each page, by the page's path from the root."""
    return {"README.md": first_table(found), "docs/benchmarks.md": overview(found)}


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


def first_table(found: Found) -> str:
    """Return the README's table: speed through Triton, tokens per pass, and whether the text is exact, by mode."""
    facts, decoding = found["bench"]["hardware"], found["decoding"]["all"]
    speed = found["bench"]["summary"]["speed_against_autoregressive"]
    rows = []
    for mode in README_MODES:
        same = decoding[mode]["equals_autoregressive"]
        exact = "it is the reference" if mode == MODES[0] else "yes" if same == 1 else f"for {same:.0%} of prompts"
        times, tokens = speed[mode]["grpc"]["per_token"]["median"], decoding[mode]["tokens_per_forward"]
        rows.append([README_MODES[mode], f"{times:.1f}x", f"{tokens:.1f}", exact])
    return f"""{table(("mode", "speed", "tokens per pass", "same text as autoregressive"), rows)}

{facts["model"]}, the model that ships, on {facts["cores"]} CPU cores through Triton; held-out prompts, one at a time;
medians of `make perf`. [Benchmarks](docs/benchmarks.md) has more figures, and the targets that are missed."""


def overview(found: Found) -> str:
    """Return the block of docs/benchmarks.md: the report's first table, what it means, and the targets in words."""
    said = "\n\n".join(text for part in readable(found) if (text := part.summary(found)))
    paragraphs = "\n\n".join(fill(" ".join(one.split()), 120) for one in said.split("\n\n"))
    every = claims(found)
    missed, met = (
        "\n".join(
            fill(claim.text, 120, initial_indent="- ", subsequent_indent="  ")
            for claim in every
            if claim.holds is holds
        )
        for holds in (False, True)
    )
    return f"""{headline(found)}

{paragraphs}

## Targets

{sum(claim.holds for claim in every)} of {len(every)} targets are met on this machine.
Missed, each with its figure and its bound:

{missed}

Met:

{met}"""


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


def shown(results: Path) -> str:
    """Return the first table and the claims."""
    found = read(results)
    return f"{headline(found)}\n{text_of(claims(found))}"


BOOK = Book(PARTS, lambda out: write(out, PROJECT if out == PERF else None), shown, HEAD)
"""The report of a checkpoint with all modes; the one in perf/ also writes the blocks of README.md and of a page."""


def main(arguments: list[str] | None = None) -> int:
    """Write every report again, plots, and the blocks of README.md and docs/benchmarks.md, from what was measured."""
    argparse.ArgumentParser(prog="python -m trimode_perf report", description=main.__doc__).parse_args(arguments)

    def work() -> int:
        written = write(PERF, PROJECT)
        if written is None:
            raise MeasureError(f"the head needs the results {', '.join(HEAD)}: make perf")
        models = sorted(path.name.removesuffix(OTHERS) for path in (PERF / "results").glob(f"*{OTHERS}"))
        for one in [written, *(causal.write(model, PERF) for model in models)]:
            print(f"report: wrote {one}")
        return 0

    return run("report", work)
