"""`make quality`: counts what a checkpoint gets right and at what cost; writes quality.json, its card and plots.

Asks the checkpoint's held-out prompts of its bundles, in process. Takes some minutes, and writes when all is done.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.errors import TrimodeError

from ..common import BUNDLE, MODEL_YAML, NANO, QUESTIONS
from ..common import RESULTS as FOLDER
from ..common.claims import conclusion
from ..common.progress import progress, run
from ..common.prompts import load
from ..common.results import about, describe, read, save
from . import card, causal
from .claims import conclude, held
from .measure import measure
from .settings import FEWER_BITS, Amounts, Plan

RESULTS = "quality.json"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf quality", description=__doc__)
    made.add_argument("--checkpoint", type=Path, default=NANO, metavar="DIR", help="[checkpoints/nano]")
    made.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="[build/out/nano-float32]")
    made.add_argument("--int8-bundle", type=Path, metavar="DIR", help="the same checkpoint's, to compare with")
    made.add_argument("--int4-bundle", type=Path, metavar="DIR", help="the same, in 4 bits")
    made.add_argument("--out", type=Path, metavar="DIR", help="where card, JSON and plots go [the checkpoint]")
    made.add_argument("--per-domain", type=int, default=1000, metavar="N", help="prompts of a domain [all]")
    made.add_argument("--sweep-per-domain", type=int, default=8, metavar="N", help="of those, swept [%(default)s]")
    made.add_argument("--human-eval", type=int, default=164, metavar="N", help="problems of HumanEval [%(default)s]")
    made.add_argument(
        "--pictures", type=int, default=100, metavar="N", help="of a domain, where there is a tower [%(default)s]"
    )
    made.add_argument("--card-only", action="store_true", help="conclude and write card and plots again, from the JSON")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run everything; return 0, 1 where a claim does not hold or something failed, or 130 when interrupted."""
    options = parser().parse_args(arguments)
    return run("quality", lambda: count(options), TrimodeError)


def count(options: argparse.Namespace) -> int:
    """Ask everything, or read what was counted before, and write it; return the status."""
    if not options.card_only and not Manifest.load(options.bundle).denoises:
        return count_causal(options)
    out: Path = options.out or options.checkpoint
    if options.card_only:
        results = read(out / RESULTS)
        conclude(results)
    else:
        amounts = Amounts(options.per_domain, options.sweep_per_domain, options.human_eval, options.pictures)
        plan = Plan.load(options.checkpoint, options.bundle, others(options), amounts)
        parts = plan.parts()
        print("quality: " + ", ".join(f"{name} {number}" for name, number in parts) + " answers or texts")
        with progress(sum(number for _, number in parts)) as bar:
            results = measure(plan, bar.step)
    out.mkdir(parents=True, exist_ok=True)
    (out / RESULTS).write_text(card.spelled(results) + "\n", encoding="utf-8")
    card.write(options.checkpoint, results, out)
    status = conclusion(held(results))
    print(f"quality: wrote {out / RESULTS}, the card and its plots")
    return status


def others(options: argparse.Namespace) -> dict[str, Path]:
    """Return the bundles of fewer bits that were given, by precision."""
    given = {"int8": options.int8_bundle, "int4": options.int4_bundle}
    return {precision: given[precision] for precision in FEWER_BITS if given[precision] is not None}


def count_causal(options: argparse.Namespace) -> int:
    """Count what can be counted of a checkpoint that was not trained to denoise; write results/MODEL-quality.json."""
    manifest = Manifest.load(options.bundle)
    bundles = {"float32": options.bundle, **others(options)}
    scored = causal.texts(min(options.human_eval, causal.PROBLEMS))
    total = len(scored) + (len(bundles) * len(load(QUESTIONS, 1)) if len(bundles) > 1 else 0)
    with progress(total) as bar:
        found = causal.measure(bundles, scored, QUESTIONS, bar.step)
    head = about("make quality MODEL=" + manifest.model, describe(manifest, ServerConfig.load(MODEL_YAML)))
    target = (options.out or FOLDER) / f"{manifest.model}-quality.json"
    save(target, {**head, **found}, sort_keys=True)
    print(causal.text(found), f"quality: wrote {target}; python -m trimode_perf report shows it", sep="\n")
    return conclusion(causal.claims(found))
