"""NVIDIA's perf_analyzer against a server as perf/modes/*.yaml say, its exports as rows; `make perf-analyzer`.

It hangs now and then, so every run has a time limit and is tried again. Figures come from the request and response
timestamps of its export: its own latency of a streamed answer ends with the first response.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from trimode.api.tensors import MODEL_NAME
from trimode_client.local_server import Addresses

from .. import common
from ..common import PERF, PROJECT
from ..common.markdown import table
from ..common.plots import figure, powers_of_two
from ..common.progress import MeasureError, run
from ..common.prompts import Prompt
from ..common.results import read, rounded
from ..common.statistics import percentile
from . import COLOURS, MODES, Context, Data, Found, Part

FOLDER = PERF / "modes"
WORK = common.WORK / "perf_analyzer"
FETCH = PROJECT / "scripts" / "fetch-perf-analyzer"
TITLES = {"grpc_stream": "gRPC stream", "http_stream": "HTTP generate_stream", "http_generate": "HTTP generate"}
TRIES = 3


class AnalyzerError(MeasureError):
    """perf_analyzer failed or hung as often as it was tried; the text ends with its last words."""


@dataclass(frozen=True)
class Plan:
    """What one mode's YAML says."""

    mode: str
    fields: dict[str, Any]
    max_tokens: int
    requests: dict[str, int]
    paths: dict[str, dict[str, Any]]

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read one file of perf/modes."""
        return cls(**yaml.safe_load(path.read_text(encoding="utf-8")))


def plans(folder: Path = FOLDER) -> list[Plan]:
    """Return the plan of every mode, by name."""
    return [Plan.load(path) for path in sorted(folder.glob("*.yaml"))]


def input_data(plan: Plan, path: str, prompts: list[Prompt]) -> Data:
    """Return perf_analyzer's input file: tensors for gRPC, whole JSON bodies for the generate endpoints."""
    stream = {"stream": True} if plan.paths[path]["streaming"] else {}
    shared = {"mode": plan.mode, "max_tokens": plan.max_tokens, **stream, **plan.fields}
    bodies = [{**prompt.wire, **shared} for prompt in prompts]
    if path.startswith("http"):
        return {"data": [{"payload": [body]} for body in bodies]}
    return {"data": [{name: {"content": [value], "shape": [1]} for name, value in body.items()} for body in bodies]}


def shipped(mode: str) -> Path:
    """Return the input file over gRPC that ships for `mode`; a test holds it to the prompts that `make perf` times."""
    return FOLDER / f"{mode}.json"


def command(program: Path, plan: Plan, path: str, level: int, files: dict[str, Path], at: Addresses) -> list[str]:
    """Return the command line of one run."""
    count = max(plan.requests["least"], level * plan.requests["per_stream"])
    shared = [str(program), "-m", MODEL_NAME, "--input-data", str(files["input"]), "--concurrency-range", str(level)]
    shared += ["--request-count", str(count), "--profile-export-file", str(files["export"])]
    if path.startswith("grpc"):
        return [*shared, "-i", "grpc", "--streaming", "-u", at.grpc]
    endpoint = f"v2/models/{MODEL_NAME}/{plan.paths[path]['endpoint']}"
    return [*shared, "--service-kind", "openai", "--endpoint", endpoint, "--async", "-u", at.http]


def fetch() -> Path:
    """Return the path of a perf_analyzer that runs, downloaded if need be; raises AnalyzerError if none can be had."""
    done = subprocess.run([FETCH], capture_output=True, text=True, env={**os.environ, "PYTHON": sys.executable})
    if done.returncode:
        raise AnalyzerError(done.stderr.strip()[-800:])
    return Path(done.stdout.strip())


def measure(context: Context) -> dict[str, Data]:
    """Return a row per path, concurrency and mode, the modes in turn at each level, and what is missing and why.

    No new level begins once the time is up.
    """
    try:
        program = fetch()
    except AnalyzerError as exc:
        return {"perf_analyzer": {"missing": str(exc), "rows": []}}
    every, rows, failures = plans(), list[Data](), list[str]()
    levels = [(path, level) for path, settings in every[0].paths.items() for level in settings["concurrency"]]
    with context.server() as at:
        began = time.monotonic()
        for number, (path, level) in enumerate(levels):
            if time.monotonic() - began > context.seconds:
                failures += [f"{path} at {level} was left out for lack of time"]
                continue
            for plan in every:
                context.progress(number / len(levels))
                try:
                    rows.append(_measure(program, plan, path, level, context.prompts, at))
                except AnalyzerError as exc:
                    failures.append(str(exc))
    head = {"version": program.name.partition("-")[2], "max_tokens": every[0].max_tokens}
    return {"perf_analyzer": {**head, "rows": rows, "failures": failures, "commands": _shown(every[0])}}


def _shown(plan: Plan) -> list[str]:
    """Return one command line per path, as a reader would type it."""
    files = {"input": Path("INPUT.json"), "export": Path("EXPORT.json")}
    name, host = Path("perf_analyzer"), Addresses("HOST:8001", "HOST:8000")
    return [" ".join(command(name, plan, path, 8, files, host)) for path in plan.paths]


def _measure(program: Path, plan: Plan, path: str, level: int, prompts: list[Prompt], at: Addresses) -> Data:
    WORK.mkdir(parents=True, exist_ok=True)
    files = {name: WORK / f"{plan.mode}-{path}-{level}.{name}.json" for name in ("input", "export")}
    files["input"].write_text(json.dumps(input_data(plan, path, prompts)), encoding="utf-8")
    line = command(program, plan, path, level, files, at)
    said = ""
    for attempt in range(TRIES):
        files["export"].unlink(missing_ok=True)
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=20 + 5 * level)
        except subprocess.TimeoutExpired:
            said = "it hung"
            continue
        said = (done.stdout + done.stderr).strip()[-500:]
        if done.returncode == 0 and files["export"].is_file():
            head = {"mode": plan.mode, "path": path, "concurrency": level, "tries": attempt + 1}
            return {**head, **figures(read(files["export"]))}
    raise AnalyzerError(f"{plan.mode} over {path} at {level} failed {TRIES} times; the last time: {said}")


def figures(export: dict[str, Any]) -> dict[str, float]:
    """Return latency and time to the first response (milliseconds), and answers per second, from an export."""
    spans = []
    for request in export["experiments"][0]["requests"]:
        # The end of an HTTP stream is exported as one more, empty, response.
        responses = zip(request["response_timestamps"], request["response_outputs"], strict=True)
        arrived = [at for at, response in responses if response.get("response", "-") != ""]
        spans.append((request["timestamp"], arrived[0], arrived[-1]))
    whole = [(last - sent) / 1e6 for sent, _, last in spans]
    first = [(first - sent) / 1e6 for sent, first, _ in spans]
    seconds = (max(last for _, _, last in spans) - min(sent for sent, _, _ in spans)) / 1e9
    return {
        "requests": len(spans),
        **{f"p{share}_ms": percentile(whole, share) for share in (50, 95, 99)},
        "first_p50_ms": percentile(first, 50),
        "answers_per_second": len(spans) / seconds,
    }


def section(found: Found) -> str:
    """Return the rows."""
    analyzed = found["perf_analyzer"]
    if "missing" in analyzed:
        return f"## perf_analyzer\n\nNot run here: {analyzed['missing']}\n"
    serial = [row for row in analyzed["rows"] if row["mode"] == "autoregressive"]
    base = {(row["path"], row["concurrency"]): row["answers_per_second"] for row in serial}
    rows = []
    for row in analyzed["rows"]:
        names = ("p50_ms", "p95_ms", "p99_ms", "first_p50_ms", "answers_per_second")
        against = base.get((row["path"], row["concurrency"]))
        gain = f"{row['answers_per_second'] / against:.2f}" if against else ""
        head = (TITLES[row["path"]], row["mode"], row["concurrency"], row["requests"])
        rows.append([*head, *(f"{row[name]:.1f}" for name in names), gain])
    counts = ("concurrency", "requests")
    times = ("p50 ms", "p95 ms", "p99 ms", "first response p50 ms", "answers/s", "against autoregressive")
    retried = sum(row["tries"] - 1 for row in analyzed["rows"])
    commands = "\n".join(analyzed["commands"])
    missing = "".join(f"- {failure}\n" for failure in analyzed["failures"]) or "- nothing\n"
    return f"""## perf_analyzer {analyzed["version"]}

At most {analyzed["max_tokens"]} tokens an answer, the timed prompts, the modes in turn at each level. Latency runs
from sending to the last response, from the exported timestamps. With so few requests p99 is close to the slowest one.
Runs repeated because the tool hung or failed: {retried}. Missing:

{missing}
{table(("path", "mode", *counts, *times), rows)}

```
{commands}
```

![throughput](plots/throughput.png)
"""


def plot(found: Found, path: Path) -> None:
    """Draw answers per second by concurrent streams, where it was run."""
    analyzed = found["perf_analyzer"]
    if not analyzed["rows"]:
        return
    with figure(path, 5, 3.4) as axes:
        for mode in MODES:
            rows = [row for row in analyzed["rows"] if (row["mode"], row["path"]) == (mode, "grpc_stream")]
            levels = [row["concurrency"] for row in rows]
            axes.plot(levels, [row["answers_per_second"] for row in rows], "o-", label=mode, color=COLOURS[mode])
        powers_of_two(axes, levels, "concurrent gRPC streams (perf_analyzer)", "answers per second")
        axes.set_ylim(bottom=0)
        axes.set_title(analyzed["hardware"]["engine"], fontsize=9)
        axes.legend(frameon=False)


PLOT = ("throughput.png", plot)
PART = Part("perf-analyzer", "NVIDIA's perf_analyzer", ("perf_analyzer",), 75, measure, section, plot=PLOT, apart=True)


def main(arguments: list[str] | None = None) -> int:
    """Load a server that runs, over gRPC, with the shipped input of one mode, for some seconds."""
    every = {plan.mode: plan for plan in plans()}
    made = argparse.ArgumentParser(prog="python -m trimode_perf perf-analyzer", description=main.__doc__)
    made.add_argument("--url", default="localhost:8001", metavar="HOST:PORT", help="of its gRPC [%(default)s]")
    made.add_argument("--mode", default="auto", choices=every, help="[%(default)s]")
    made.add_argument("--concurrency", type=int, default=1, metavar="N", help="streams at once [%(default)s]")
    given = made.parse_args(arguments)
    files = {"input": shipped(given.mode), "export": WORK / f"{given.mode}.export.json"}

    def work() -> int:
        WORK.mkdir(parents=True, exist_ok=True)
        files["export"].unlink(missing_ok=True)  # an earlier run's
        print("getting perf_analyzer ready; the first time it is downloaded", flush=True)
        at = Addresses(given.url, "")
        line = command(fetch(), every[given.mode], "grpc_stream", given.concurrency, files, at)
        print(" ".join(line), flush=True)
        if status := subprocess.run(line).returncode:
            return status
        if not files["export"].exists():
            raise AnalyzerError("perf_analyzer ended without writing its figures")
        shown = ", ".join(f"{name} {value:g}" for name, value in rounded(figures(read(files["export"]))).items())
        print(
            "From the exported timestamps, first request to last response; perf_analyzer divides by its whole window:"
        )
        print(shown)
        return 0

    return run("perf-analyzer", work)
