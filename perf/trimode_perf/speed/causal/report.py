"""perf/results/MODEL-*.json as perf/RESULTS-MODEL.md, for a checkpoint that was not trained to denoise.

Every ratio is of samples that one part took in one run, interleaved. Knows nothing of what a part measures.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from ...common.claims import Claim
from ...common.claims import text as text_of
from ...common.markdown import spread, table
from ...common.results import read as read_file
from ...quality import causal
from .. import Book, Context, Data, Found, Part, lengths, peers, startup
from ..speculation import free_drafts
from . import chats, drafts, load, replayed

HEAD = ("peers",)
"""The results that the head of the report is written from."""


def measure_lengths(context: Context) -> dict[str, Data]:
    """Return the cost of prompts by their length, in each precision in turn."""
    found = {}
    for number, (precision, bundle) in enumerate(context.bundles.items()):
        one = replace(context, options=replace(context.options, bundle=bundle))
        pace = context.pace(number / len(context.bundles), (number + 1) / len(context.bundles))
        try:
            found[precision] = lengths.by_length(one, one.runtime, pace)
        finally:
            one.close()
    return {"lengths": {"precisions": found}}


def lengths_section(found: Found) -> str:
    """Return how soon the first token comes by the prompt's length."""
    every = found["lengths"]["precisions"]
    sizes = [row["tokens"] for row in next(iter(every.values()))["rows"]]
    rows = []
    for place, size in enumerate(sizes):
        taken = [one["rows"][place]["first_milliseconds"] for one in every.values()]
        rows.append([size, *(spread(one, 0) for one in taken), *(f"{size / one['median']:.2f}" for one in taken)])
    titles = (*(f"first token ms, {name}" for name in every), *(f"tokens of the prompt a ms, {name}" for name in every))
    rounds = ", ".join(f"{one['rounds']} in {name}" for name, one in every.items())
    return f"""## The first token, by the length of the prompt

In process, one request at a time, the prefix cache off; rounds in shuffled order: {rounds}. Medians with quartiles.

{table(("prompt tokens", *titles), rows)}
"""


def quality_claims(found: Found) -> list[Claim]:
    """Return what fewer bits may change."""
    return causal.claims(found["quality"])


def quality_section(found: Found) -> str:
    """Return what `make quality` counted."""
    return f"## Perplexity, and what fewer bits change\n\n{causal.text(found['quality'])}\n"


PARTS = (
    replace(peers.PART, seconds_hint=130.0, apart=False),
    load.PART,
    Part("lengths", "prompts of up to 4,000 tokens", ("lengths",), 60, measure_lengths, lengths_section),
    chats.PART,
    drafts.PART,
    replayed.PART,
    replace(free_drafts.PART, seconds_hint=100.0, apart=False),
    replace(startup.PART, claims=lambda found: []),
    Part("quality", "what make quality counted", ("quality",), section=quality_section, claims=quality_claims),
)
"""In the order of the report, which is that of a run; those that are alike have the names of the other report's."""


def book(model: str) -> Book:
    """Return the report of `model`."""
    return Book(PARTS, partial(write, model), partial(shown, model), HEAD, f"{model}-")


def write(model: str, out: Path) -> Path | None:
    """Write the report from `out`/results; return its path, None where what its head needs was never measured."""
    found = read(model, out / "results")
    if not found.keys() >= set(HEAD):
        return None
    for part in PARTS:
        if part.plot is not None and part.can_read(found):
            part.plot[1](found, out / "plots" / part.plot[0])
    target = out / f"RESULTS-{model}.md"
    target.write_text(text(found), encoding="utf-8")
    return target


def read(model: str, results: Path) -> dict[str, Data]:
    """Return what was measured of `model`, by the parts' names for it."""
    files = {name: results / f"{model}-{name}.json" for part in PARTS for name in part.reads}
    return {name: read_file(path) for name, path in files.items() if path.is_file()}


def shown(model: str, results: Path) -> str:
    """Return the claims."""
    return text_of(claims(read(model, results)))


def claims(found: Found) -> list[Claim]:
    """Return what must hold of what was measured."""
    return [claim for part in PARTS if part.can_read(found) for claim in part.claims(found)]


def text(found: Found) -> str:
    """Return the report."""
    facts = found["peers"]["hardware"]
    parts = [part for part in PARTS if part.can_read(found)]
    runs = sorted({(found[part.reads[0]]["measured_at"], found[part.reads[0]]["command"]) for part in parts})
    when = "; ".join(f"`{command}` on {date}" for date, command in runs)
    head = f"""# Results of {facts["model"]}

Written by {when}; do not edit.

{facts["model"]} was not trained to denoise, so the parts of `make perf` that need diffusion are left out. Here are
llama.cpp beside it, many requests at once, long prompts, a chat with the prefix cache, and what an adapter drafts.

- Executed on **{facts["engine"]}**, {facts["threads"]} threads. Nothing here ran on a GPU.
- {facts["processor"]}, {facts["cores"]} cores, {facts["memory_gib"]} GiB; load average at the start
  {facts["load_average"]}.
- Capacity {facts["capacity"]}; greedy, the server's defaults for every knob not named.

## What must hold

```
{text_of(claims(found))}
```
"""
    return "\n".join([head, *(part.section(found) for part in parts)]).rstrip() + "\n"
