"""`make editing`: counts how well gaps are filled, corrupted answers mended and effort spent; writes EDITING.md.

Asks held-out text of the checkpoint in process. Writes only when all is done.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from trimode.config import ServerConfig
from trimode.errors import TrimodeError

from ..common.ask import open_runtime
from ..common.claims import conclusion
from ..common.hardware import describe
from ..common.paths import NANO, PERF, PROJECT
from ..common.progress import progress, run
from ..common.prompts import Prompt, claimed, load
from ..quality.humaneval import read
from . import effort, hidden, infill, report, revise

RESULTS = "results/editing.json"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf.editing", description=__doc__)
    made.add_argument("--checkpoint", type=Path, default=NANO, metavar="DIR", help="[checkpoints/nano]")
    made.add_argument("--bundle", type=Path, default=PROJECT / "build/out/nano-float32", metavar="DIR")
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
    if options.report_only:
        results = json.loads((options.out / RESULTS).read_text(encoding="utf-8"))
    else:
        results = measure(options)
        (options.out / RESULTS).parent.mkdir(parents=True, exist_ok=True)
        (options.out / RESULTS).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    report.write(results, options.out)
    status = conclusion(report.claims(results))
    print(f"editing: wrote {options.out / 'EDITING.md'}")
    return status


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Ask everything and return what was counted."""
    file = options.checkpoint / "heldout.jsonl"
    prompts = claimed(load(file, options.per_domain))
    few = claimed(load(file, min(options.few, options.per_domain)))
    runtime = open_runtime(options.bundle)
    try:
        if runtime.tokenizer is None:
            raise ValueError(f"{options.bundle} has no tokenizer")
        sets = hidden_parts(few, options.human_eval)
        any_token = revise.any_token(runtime.tokenizer, runtime.manifest.vocab_size)
        sources = {"any": any_token, "plausible": revise.plausible(runtime)}
        kinds = {name: revise.corrupt(few, runtime.tokenizer, others) for name, others in sources.items()}
        revised = sum(map(len, [*kinds.values(), kinds["any"]]))
        total = sum(map(len, sets.values())) * len(infill.WAYS) + revised * len(revise.SETTINGS)
        total += len(prompts) * (len(effort.EFFORTS) + 1)
        with progress(total) as bar:
            return {
                "hardware": describe(runtime.manifest, ServerConfig()),
                "shortest": revise.SHORTEST,
                "share": revise.SHARE,
                "likeliest": revise.LIKELIEST,
                "table_prompts": json.loads((options.bundle / "effort.json").read_text(encoding="utf-8"))["prompts"],
                "infill": infill.compare(runtime, sets, bar.step),
                "revise": revise.measure(runtime, kinds, bar.step),
                "effort": effort.measure(runtime, prompts, bar.step),
            }
    finally:
        runtime.close()


def hidden_parts(few: list[Prompt], problems: int) -> dict[str, list[hidden.Item]]:
    """Return the sets of items by name."""
    lines = list(hidden.lines(few, 1))
    functions = [prompt for prompt in few if prompt.domain == "function"]
    return {
        "lines": [item for item in lines if item.domain != "function"],
        "words": list(hidden.spans(few, words=True)),
        "characters": list(hidden.spans(few, words=False)),
        "function lines": list(hidden.lines(functions, 3)),
        "alone": [hidden.Item(i.domain, None, i.left, i.hidden, i.right) for i in lines],
        "human_eval": list(hidden.functions(read(problems))),
    }


if __name__ == "__main__":
    sys.exit(main())
