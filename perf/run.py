"""`make perf`: measures one bundle every way, in one run, and writes perf/results/*.json, perf/RESULTS.md and plots.

Starts its own server and stops it, also on Ctrl-C. Takes about five minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import analyzer
import report
from bench import Bench
from decoding import decode
from fetch_perf_analyzer import VERSION, FetchError, fetch
from hardware import describe
from prompts import Prompt, load, spread
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from summary import summarise
from sweep import sweep
from trimode.config import ServerConfig
from trimode.errors import TrimodeError
from trimode.runtime import Runtime
from trimode_client import Client, TrimodeClientError
from trimode_client.local_server import Addresses, serving

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
WORK = HERE / "out"
RESULTS = HERE / "results"
Step = Callable[[float, str], None]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description="Measure every mode through engine, control loop and Triton.")
    made.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    made.add_argument("--heldout", type=Path, default=PROJECT / "checkpoints/nano/heldout.jsonl", metavar="JSONL")
    made.add_argument("--per-domain", type=int, default=4, metavar="N", help="prompts of a domain [%(default)s]")
    made.add_argument("--prompts", type=int, default=12, metavar="N", help="of those, timed ones [%(default)s]")
    made.add_argument("--max-tokens", type=int, default=128, metavar="N", help="per answer [%(default)s]")
    made.add_argument("--bench-seconds", type=float, default=80.0, metavar="S")
    made.add_argument("--sweep-seconds", type=float, default=60.0, metavar="S")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run everything; return the exit status."""
    options = parser().parse_args(arguments)
    started = time.monotonic()
    try:
        every = load(options.heldout, options.per_domain)
        prompts = spread(load(options.heldout, 1), options.prompts)
        RESULTS.mkdir(parents=True, exist_ok=True)
        with progress() as step:
            config = ServerConfig.load(PROJECT / "model_repository/nemotron_diffusion/model.yaml")
            runtime = Runtime.open(replace(config, bundle=options.bundle.resolve()))
            try:
                about = {
                    "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                    "hardware": describe(runtime.manifest, config),
                    "command": "make perf",
                }
                step(0.0, "starting the server")
                with serving(options.bundle.resolve(), WORK / "server.log") as at:
                    save("bench", {**about, **run_bench(runtime, at, prompts, options, step)})
                    save("perf_analyzer", {**about, **run_analyzer(prompts, at, step)})
                    step(1.0, "stopping the server")
                few, limit = spread(prompts, 6), options.sweep_seconds
                turn = sweep(runtime, few, options.max_tokens, limit, lambda share: step(share, "sweep of knobs"))
                save("sweep", {**about, **turn})
                told = decode(runtime, every, options.max_tokens, lambda share: step(share, "every held-out prompt"))
                save("decoding", {**about, **told})
            finally:
                runtime.close()
        written = report.write(RESULTS, HERE)
    except KeyboardInterrupt:
        print("perf: interrupted; the server was stopped, no report was written", file=sys.stderr)
        return 130
    except (TrimodeError, TrimodeClientError, analyzer.AnalyzerError, OSError) as exc:
        print(f"perf: {exc}", file=sys.stderr)
        return 1
    print(f"perf: wrote {written.relative_to(PROJECT)} in {time.monotonic() - started:.0f} s")
    return 0


def run_bench(
    runtime: Runtime, at: Addresses, prompts: list[Prompt], options: argparse.Namespace, step: Step
) -> dict[str, Any]:
    """Return the bench's samples and their summary."""
    with Client(at.grpc) as grpc, Client(at.http, "http") as http:
        bench = Bench(runtime, grpc, http, prompts, options.max_tokens)
        rounds = bench.run(options.bench_seconds, lambda share: step(share, "engine, control loop, gRPC, HTTP"))
    samples = [asdict(sample) for sample in bench.samples]
    for sample in samples:
        del sample["text"], sample["counters"]
    return {
        "rounds": rounds,
        "prompts": len(prompts),
        "max_tokens": options.max_tokens,
        "summary": summarise(bench.samples),
        "samples": samples,
    }


def run_analyzer(prompts: list[Prompt], at: Addresses, step: Step) -> dict[str, Any]:
    """Return perf_analyzer's rows, or why there are none."""
    step(0.0, "fetching perf_analyzer")
    try:
        program = fetch()
    except FetchError as exc:
        return {"version": VERSION, "missing": str(exc), "rows": []}
    plan = analyzer.plans()[0]
    rows = analyzer.run_all(program, prompts, at, WORK / "perf_analyzer", step)
    files = {"input": Path("INPUT.json"), "export": Path("EXPORT.json")}
    shown = {
        path: " ".join(
            analyzer.command(Path("perf_analyzer"), plan, path, 8, files, Addresses("HOST:8001", "HOST:8000"))
        )
        for path in plan.paths
    }
    return {"version": VERSION, "rows": rows, "commands": shown, "max_tokens": plan.max_tokens}


def save(name: str, data: dict[str, Any]) -> None:
    """Write one file of results, figures rounded to what they are worth."""
    text = json.dumps(_rounded(data), indent=1, sort_keys=True)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


@contextmanager
def progress() -> Iterator[Step]:
    """Show one bar; the function given sets its share (0 to 1) and what is being done."""
    columns = (TextColumn("{task.description:44}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda share, text: bar.update(task, completed=min(share, 1.0), description=text)


if __name__ == "__main__":
    sys.exit(main())
