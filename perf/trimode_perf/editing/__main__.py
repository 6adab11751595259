"""`make editing`: counts how well gaps are filled, corrupted answers mended and effort spent; writes EDITING.md.

Asks held-out text of the checkpoint in process. Writes only when all is done.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimode.config import ServerConfig
from trimode.errors import TrimodeError
from trimode.runtime import Runtime

from ..common.hardware import describe
from ..common.paths import NANO, PERF, PROJECT
from ..common.prompts import Prompt, load
from ..quality.__main__ import progress
from ..quality.claims import DROPPED
from ..quality.generate import QUEUE, SLOTS
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        if options.report_only:
            results = json.loads((options.out / RESULTS).read_text(encoding="utf-8"))
        else:
            results = measure(options)
            (options.out / "results").mkdir(parents=True, exist_ok=True)
            (options.out / RESULTS).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        report.write(results, options.out)
    except KeyboardInterrupt:
        print("editing: interrupted; nothing was written", file=sys.stderr)
        return 130
    except (TrimodeError, OSError, ImportError, ValueError) as exc:
        print(f"editing: {exc}", file=sys.stderr)
        return 1
    print("\n".join(report.lines(results)))
    print(f"editing: wrote {options.out / 'EDITING.md'} in {time.monotonic() - began:.0f} s")
    return 1 if report.unexpected(results) else 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Ask everything and return what was counted."""
    config = ServerConfig(bundle=options.bundle.resolve(), max_slots=SLOTS, max_queue=QUEUE)
    prompts = [
        prompt
        for prompt in load(options.checkpoint / "heldout.jsonl", options.per_domain)
        if prompt.answer is not None and prompt.domain not in DROPPED
    ]
    runtime = Runtime.open(config)
    try:
        if runtime.tokenizer is None:
            raise ValueError(f"{options.bundle} has no tokenizer")
        few = first_of_each(prompts, options.few)
        sets = hidden_parts(few, options.human_eval)
        any_token = revise.any_token(runtime.tokenizer, runtime.manifest.vocab_size)
        sources = {"any": any_token, "plausible": revise.plausible(runtime)}
        kinds = {name: revise.corrupt(few, runtime.tokenizer, others) for name, others in sources.items()}
        revised = sum(map(len, [*kinds.values(), kinds["any"]]))
        total = sum(map(len, sets.values())) * len(infill.WAYS) + revised * len(revise.SETTINGS)
        total += len(prompts) * (len(effort.EFFORTS) + 1)
        with progress(total) as advance:
            return {
                "hardware": describe(runtime.manifest, config),
                "shortest": revise.SHORTEST,
                "share": revise.SHARE,
                "likeliest": revise.LIKELIEST,
                "table_prompts": json.loads((options.bundle / "effort.json").read_text(encoding="utf-8"))["prompts"],
                "infill": infill.compare(runtime, sets, advance),
                "revise": revise.measure(runtime, kinds, advance),
                "effort": effort.measure(runtime, prompts, advance),
            }
    finally:
        runtime.close()


def first_of_each(prompts: Sequence[Prompt], per_domain: int) -> list[Prompt]:
    """Return the first `per_domain` of each domain."""
    seen: Counter[str] = Counter()
    few = []
    for prompt in prompts:
        seen[prompt.domain] += 1
        if seen[prompt.domain] <= per_domain:
            few.append(prompt)
    return few


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
