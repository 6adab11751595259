"""Runs NVIDIA's perf_analyzer against a server as perf/modes/*.yaml say, and turns its exports into rows.

It hangs now and then, so every run has a time limit and is tried again. Figures come from the request and response
timestamps of its export: its own latency of a streamed answer is not told apart from that to the first response.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from trimode_client.local_server import Addresses

from ..common.paths import PERF
from ..common.prompts import Prompt
from ..common.statistics import percentile

MODES = PERF / "modes"
MODEL = "nemotron_diffusion"
TRIES = 3


class AnalyzerError(Exception):
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

    def count(self, level: int) -> int:
        """Return how many requests are sent at a concurrency of `level`."""
        return max(self.requests["least"], level * self.requests["per_stream"])


def plans(folder: Path = MODES) -> list[Plan]:
    """Return the plan of every mode, by name."""
    return [Plan.load(path) for path in sorted(folder.glob("*.yaml"))]


def input_data(plan: Plan, path: str, prompts: list[Prompt]) -> dict[str, Any]:
    """Return perf_analyzer's input file: tensors for gRPC, whole JSON bodies for the generate endpoints."""
    streaming = plan.paths[path]["streaming"]
    shared = {"mode": plan.mode, "max_tokens": plan.max_tokens, "stream": streaming, **plan.fields}
    if not streaming:
        shared.pop("stream")
    bodies = [{**prompt.wire, **shared} for prompt in prompts]
    if path.startswith("http"):
        return {"data": [{"payload": [body]} for body in bodies]}
    return {"data": [{name: {"content": [value], "shape": [1]} for name, value in body.items()} for body in bodies]}


def command(program: Path, plan: Plan, path: str, level: int, files: dict[str, Path], at: Addresses) -> list[str]:
    """Return the command line of one run."""
    shared = [
        *(str(program), "-m", MODEL, "--input-data", str(files["input"])),
        *("--concurrency-range", str(level), "--request-count", str(plan.count(level))),
        *("--profile-export-file", str(files["export"])),
    ]
    if path.startswith("grpc"):
        return [*shared, "-i", "grpc", "--streaming", "-u", at.grpc]
    endpoint = f"v2/models/{MODEL}/{plan.paths[path]['endpoint']}"
    return [*shared, "--service-kind", "openai", "--endpoint", endpoint, "--async", "-u", at.http]


def run_all(
    program: Path,
    prompts: list[Prompt],
    at: Addresses,
    work: Path,
    seconds: float,
    progress: Callable[[float, str], None],
) -> dict[str, Any]:
    """Return a row per path, concurrency and mode, the modes in turn at each level, and what is missing.

    No new level begins once `seconds` have passed.
    """
    work.mkdir(parents=True, exist_ok=True)
    every = plans()
    levels = [(path, level) for path, settings in every[0].paths.items() for level in settings["concurrency"]]
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    began = time.monotonic()
    for number, (path, level) in enumerate(levels):
        if time.monotonic() - began > seconds:
            failures += [f"{path} at {level} was left out for lack of time"]
            continue
        for plan in every:
            progress(number / len(levels), f"perf_analyzer {path} x{level} {plan.mode}")
            try:
                rows.append(_measure(program, plan, path, level, prompts, at, work))
            except AnalyzerError as exc:
                failures.append(str(exc))
    return {"rows": rows, "failures": failures, "max_tokens": every[0].max_tokens, "commands": _shown(every[0])}


def _shown(plan: Plan) -> list[str]:
    """Return one command line per path, as a reader would type it."""
    files = {"input": Path("INPUT.json"), "export": Path("EXPORT.json")}
    name, host = Path("perf_analyzer"), Addresses("HOST:8001", "HOST:8000")
    return [" ".join(command(name, plan, path, 8, files, host)) for path in plan.paths]


def _measure(
    program: Path, plan: Plan, path: str, level: int, prompts: list[Prompt], at: Addresses, work: Path
) -> dict[str, Any]:
    name = f"{plan.mode}-{path}-{level}"
    files = {"input": work / f"{name}.input.json", "export": work / f"{name}.export.json"}
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
            export = json.loads(files["export"].read_text(encoding="utf-8"))
            head = {"mode": plan.mode, "path": path, "concurrency": level, "tries": attempt + 1}
            return {**head, **figures(export)}
    raise AnalyzerError(f"{plan.mode} over {path} at {level} failed {TRIES} times; the last time: {said}")


def figures(export: dict[str, Any]) -> dict[str, float]:
    """Return latency and time to the first response (milliseconds), and answers per second, from an export."""
    requests = export["experiments"][0]["requests"]
    spans = []
    for request in requests:
        # The end of an HTTP stream is exported as one more, empty, response.
        arrived = [
            at
            for at, response in zip(request["response_timestamps"], request["response_outputs"], strict=True)
            if response.get("response", "-") != ""
        ]
        spans.append((request["timestamp"], arrived[0], arrived[-1]))
    whole = [(last - sent) / 1e6 for sent, _, last in spans]
    first = [(first - sent) / 1e6 for sent, first, _ in spans]
    seconds = (max(last for _, _, last in spans) - min(sent for sent, _, _ in spans)) / 1e9
    return {
        "requests": len(spans),
        "p50_ms": percentile(whole, 50),
        "p95_ms": percentile(whole, 95),
        "p99_ms": percentile(whole, 99),
        "first_p50_ms": percentile(first, 50),
        "answers_per_second": len(spans) / seconds,
    }
