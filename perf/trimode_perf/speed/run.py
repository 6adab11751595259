"""`make perf`: measures one bundle every way, in one run, and writes perf/results/*.json, perf/RESULTS.md and plots.

Starts its own server and stops it, also on Ctrl-C. Takes some fifteen minutes. The prefix cache is off
throughout, so that a prompt asked again is read again; what it gives is measured by itself.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from trimode.config import ServerConfig
from trimode.errors import TrimodeError
from trimode.runtime import Runtime
from trimode_client import TrimodeClientError
from trimode_client.local_server import Addresses, serving

from ..common.hardware import describe
from ..common.paths import MODEL_YAML, NANO, PERF, PROJECT, RESULTS, WORK
from ..common.prompts import Prompt, halves, load, spread
from ..common.statistics import rounded
from ..peers import comparison
from ..peers.process import PeerError
from ..quality.claims import DROPPED
from . import auto as choices
from . import held, readme, report, startup, timeline
from . import lengths as growth
from . import perf_analyzer as analyzer
from .domains import decode
from .fetch_perf_analyzer import VERSION, FetchError, fetch
from .int8 import compare
from .knobs import sweep
from .layers import MODES, Bench, Sample
from .passes import pass_cost
from .summary import summarise
from .wire import GrpcWire, HttpWire

LIMITS = {
    **{"bench": 60.0, "analyzer": 75.0, "sweep": 30.0, "decoding": 30.0, "int8": 20.0},
    **{"domains": 180.0, "concurrency": 210.0, "growth": 20.0, "peers": 40.0},
}
"""Seconds that each part may take; where time is short it asks fewer prompts or rounds, and says so."""
Step = Callable[[float, str], None]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description="Measure every mode through engine, control loop and Triton.")
    made.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    made.add_argument("--int8-bundle", type=Path, metavar="DIR", help="the same checkpoint's, to compare with")
    made.add_argument("--model", default="nano", help="what `make serve` calls it [%(default)s]")
    made.add_argument("--heldout", type=Path, default=NANO / "heldout.jsonl", metavar="JSONL")
    made.add_argument("--per-domain", type=int, default=4, metavar="N", help="prompts of a domain [%(default)s]")
    made.add_argument("--prompts", type=int, default=12, metavar="N", help="of those, timed ones [%(default)s]")
    made.add_argument("--max-tokens", type=int, default=128, metavar="N", help="per answer [%(default)s]")
    made.add_argument("--peers-python", type=Path, metavar="FILE", help="an interpreter with the peers' libraries")
    for name, seconds in LIMITS.items():
        made.add_argument(f"--{name}-seconds", type=float, default=seconds, metavar="S", help="[%(default)g]")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run everything; return the exit status."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill must not leave the server behind
    started = time.monotonic()
    try:
        with progress() as step:
            found = measure(options, step)
        RESULTS.mkdir(parents=True, exist_ok=True)
        save_samples(found["bench"].pop("samples"))
        for name, data in found.items():  # all or nothing: a report never mixes runs
            save(name, data)
        written = report.write(RESULTS, PERF)
        readme.insert(PROJECT / "README.md", report.read(RESULTS))
    except KeyboardInterrupt:
        print("perf: interrupted; the server was stopped, no result was written", file=sys.stderr)
        return 130
    except (TrimodeError, TrimodeClientError, PeerError, RuntimeError, OSError) as exc:
        print(f"perf: {exc}", file=sys.stderr)
        return 1
    print(report.headline(found["bench"], found["decoding"]))
    print(held.text(report.read(RESULTS)))
    print(f"perf: wrote {written.relative_to(PROJECT)} in {time.monotonic() - started:.0f} s")
    return 0


def measure(options: argparse.Namespace, step: Step) -> dict[str, dict[str, Any]]:
    """Return the results of every part by name."""
    asked = load(options.heldout, 1)
    claimed = [prompt for prompt in asked if prompt.answer is not None and prompt.domain not in DROPPED]
    prompts = spread(claimed, options.prompts)
    bundle, tokens = options.bundle.resolve(), options.max_tokens
    os.environ["TRIMODE_PREFIX_CACHE_MIB"] = "0"  # of the server that is started here too
    config = ServerConfig.load(MODEL_YAML)
    runtime = Runtime.open(replace(config, bundle=bundle))
    found: dict[str, dict[str, Any]] = {}
    try:
        about = {
            "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "hardware": describe(runtime.manifest, config),
            "command": "make perf",
        }
        step(0.0, "cost of a pass")
        found["cost"] = pass_cost(bundle, config)
        step(0.0, "starts with make serve")
        found["startup"] = startup.measure(bundle, options.model, runtime.manifest.precision)
        found["timeline"] = timeline.measure(runtime, prompts, MODES, tokens)
        step(0.0, "starting the server")
        with serving(bundle, WORK / "server.log") as at:
            found["bench"] = run_bench(runtime, at, prompts, options, step)
            found["perf_analyzer"] = run_analyzer(prompts, at, options.analyzer_seconds, step)
            step(1.0, "stopping the server")
        limit = options.sweep_seconds
        found["sweep"] = sweep(runtime, prompts, tokens, limit, lambda share: step(share, "sweep of knobs"))
        timed, familiar = halves(load(options.heldout, 2 * options.per_domain))
        learnt = choices.Learnt(runtime, familiar, tokens)
        found["domains"] = choices.by_domain(
            runtime, timed, learnt, tokens, options.domains_seconds, lambda share: step(share, "auto by domain")
        )
        found["concurrency"] = choices.by_concurrency(
            runtime,
            asked,
            learnt,
            tokens,
            options.concurrency_seconds,
            lambda share: step(share, "auto by concurrency"),
        )
        found["growth"] = growth.measure(
            runtime, asked, options.growth_seconds, lambda share: step(share, "long prompts and answers")
        )
        found["growth"]["shared"] = growth.shared_prefix(replace(config, bundle=bundle), asked)
        if options.peers_python is not None:
            found["peers"] = comparison.compare(
                runtime, prompts, tokens, options.peers_seconds, lambda share: step(share, "peers"),
                options.peers_python, checkpoint=options.heldout.parent, threads=config.threads,
            )  # fmt: skip
        if options.int8_bundle is not None:
            int8 = Runtime.open(replace(config, bundle=options.int8_bundle.resolve()))
            try:
                found["int8"] = compare(
                    runtime,
                    int8,
                    load(options.heldout, 2 * options.per_domain),
                    tokens,
                    options.int8_seconds,
                    lambda share: step(share, "int8"),
                )
            finally:
                int8.close()
        every, limit = load(options.heldout, options.per_domain), options.decoding_seconds
        found["decoding"] = decode(runtime, every, tokens, limit, lambda share: step(share, "every domain"))
    finally:
        runtime.close()
    return {name: {**about, **data} for name, data in found.items()}


def run_bench(
    runtime: Runtime, at: Addresses, prompts: list[Prompt], options: argparse.Namespace, step: Step
) -> dict[str, Any]:
    """Return the samples and their summary."""
    with closing(GrpcWire(at.grpc)) as grpc, closing(HttpWire(at.http)) as http:
        bench = Bench(runtime, grpc, http, prompts, options.max_tokens)
        rounds = bench.run(options.bench_seconds, lambda share: step(share, "engine, control loop, gRPC, HTTP"))
    return {
        "rounds": rounds,
        "prompts": len(bench.prompts),
        "max_tokens": options.max_tokens,
        "summary": summarise(bench.samples),
        "samples": bench.samples,
    }


def run_analyzer(prompts: list[Prompt], at: Addresses, seconds: float, step: Step) -> dict[str, Any]:
    """Return perf_analyzer's rows, or why there are none."""
    step(0.0, "fetching perf_analyzer")
    try:
        program = fetch()
    except FetchError as exc:
        return {"version": VERSION, "missing": str(exc), "rows": []}
    return {"version": VERSION, **analyzer.run_all(program, prompts, at, WORK / "perf_analyzer", seconds, step)}


def save(name: str, data: dict[str, Any]) -> None:
    """Write one file of results, figures rounded to what they are worth."""
    text = json.dumps(rounded(data), indent=1, sort_keys=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def save_samples(samples: list[Sample]) -> None:
    """Write the bench's raw samples, one a line."""
    names = ("round", "prompt", "mode", "path", "seconds", "engine_seconds", "tokens")
    with (RESULTS / "samples.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for sample in samples:
            values = (getattr(sample, name) for name in names)
            writer.writerow(f"{value:.6f}" if isinstance(value, float) else value for value in values)


@contextmanager
def progress() -> Iterator[Step]:
    """Show one bar; the function given sets its share (0 to 1) and what is being done."""
    columns = (TextColumn("{task.description:44}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda share, text: bar.update(task, completed=min(share, 1.0), description=text)


if __name__ == "__main__":
    sys.exit(main())
