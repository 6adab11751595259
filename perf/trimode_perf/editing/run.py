"""`make editing`: counts how well gaps are filled, corrupted answers mended and effort spent; writes EDITING.md.

Asks held-out text of the checkpoint in process. Takes some minutes, and writes only when all is done.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from trimode.config import ServerConfig
from trimode.errors import TrimodeError
from trimode.runtime import Runtime

from ..common import BUNDLE, NANO, PERF
from ..common.ask import ask, open_runtime
from ..common.claims import conclusion
from ..common.progress import MeasureError, progress, run
from ..common.prompts import HELD_OUT, Prompt, claimed, load
from ..common.results import describe, read, save
from ..quality import prompts as human_eval
from ..quality.settings import MAX_TOKENS
from . import infill, report, revise

RESULTS = "results/editing.json"
EFFORTS = tuple(at / 8 for at in range(9))


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf editing", description=__doc__)
    made.add_argument("--checkpoint", type=Path, default=NANO, metavar="DIR", help="[checkpoints/nano]")
    made.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="[build/out/nano-float32]")
    made.add_argument("--out", type=Path, default=PERF, metavar="DIR", help="[perf]")
    made.add_argument("--per-domain", type=int, default=1000, metavar="N", help="prompts of a domain [all]")
    made.add_argument("--few", type=int, default=8, metavar="N", help="of those, filled and revised [%(default)s]")
    made.add_argument("--human-eval", type=int, default=40, metavar="N", help="problems of HumanEval [%(default)s]")
    made.add_argument("--report-only", action="store_true", help="write the report again, from the JSON")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run everything; return 0, 1 where a claim fails unexpectedly or something failed, or 130 when interrupted."""
    options = parser().parse_args(arguments)
    return run("editing", lambda: count(options), TrimodeError)


def count(options: argparse.Namespace) -> int:
    """Ask everything, or read what was counted before, and write it; return the status."""
    kept = options.out / RESULTS
    results = read(kept) if options.report_only else measure(options)
    save(kept, results)
    report.write(results, options.out)
    status = conclusion(report.claims(results))
    print(f"editing: wrote {options.out / 'EDITING.md'}")
    return status


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Ask everything and return what was counted."""
    file = options.checkpoint / HELD_OUT
    prompts = claimed(load(file, options.per_domain))
    few = claimed(load(file, min(options.few, options.per_domain)))
    runtime = open_runtime(options.bundle)
    try:
        if runtime.tokenizer is None:
            raise MeasureError(f"{options.bundle} has no tokenizer")
        sets = hidden_parts(few, options.human_eval)
        any_token = revise.any_token(runtime.tokenizer, runtime.manifest.vocab_size)
        sources = {"any": any_token, "plausible": revise.plausible(runtime)}
        kinds = {name: revise.corrupt(few, runtime.tokenizer, others) for name, others in sources.items()}
        revised = sum(map(len, [*kinds.values(), kinds["any"]]))
        total = sum(map(len, sets.values())) * len(infill.WAYS) + revised * len(revise.SETTINGS)
        total += len(prompts) * (len(EFFORTS) + 1)
        with progress(total) as bar:
            return {
                "hardware": describe(runtime.manifest, ServerConfig()),
                "shortest": revise.SHORTEST,
                "share": revise.SHARE,
                "likeliest": revise.LIKELIEST,
                "table_prompts": read(options.bundle / "effort.json")["prompts"],
                "infill": infill.compare(runtime, sets, bar.step),
                "revise": revise.measure(runtime, kinds, bar.step),
                "effort": along_effort(runtime, prompts, bar.step),
            }
    finally:
        runtime.close()


def hidden_parts(few: list[Prompt], problems: int) -> dict[str, list[infill.Item]]:
    """Return the sets of items by name."""
    lines = list(infill.lines(few, 1))
    functions = [prompt for prompt in few if prompt.domain == "function"]
    return {
        "lines": [item for item in lines if item.domain != "function"],
        "words": list(infill.spans(few, words=True)),
        "characters": list(infill.spans(few, words=False)),
        "function lines": list(infill.lines(functions, 3)),
        "alone": [replace(item, messages=None) for item in lines],
        "human_eval": list(infill.functions(human_eval.problems(problems))),
    }


def along_effort(runtime: Runtime, prompts: Sequence[Prompt], advance: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return accuracy and forwards over all `prompts`: a row for each effort, and one of autoregressive."""
    ways: list[dict[str, Any]] = [*({"effort": effort} for effort in EFFORTS), {"mode": "autoregressive"}]
    rows = []
    for way in ways:
        name = " ".join(str(value) for value in way.values())
        requests = [{**prompt.fields, **way, "max_tokens": MAX_TOKENS} for prompt in prompts]
        crowd = ask(runtime, requests, answered=partial(advance, f"effort {name}"))
        exact = sum(text == prompt.answer for text, prompt in zip(crowd.texts, prompts, strict=True))
        forwards = sum(chunk.counters.forwards for chunk in crowd.chunks)
        rows.append({**way, "asked": len(prompts), "exact": exact, "tokens": crowd.tokens, "forwards": forwards})
    return rows
