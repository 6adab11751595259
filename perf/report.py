"""perf/results/*.json as perf/RESULTS.md and perf/plots/*.png; every ratio is of one run's interleaved samples.

`python perf/report.py` writes them again without measuring.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import plots

MODES = ("autoregressive", "diffusion", "self_speculation")
LAYERS = {
    "engine": "engine passes alone",
    "loop": "control loop",
    "grpc": "Triton gRPC",
    "http": "Triton HTTP generate",
}
OUTER = ("loop", "grpc", "http")
PATHS = {"grpc_stream": "gRPC stream", "http_stream": "HTTP generate_stream", "http_generate": "HTTP generate"}
DECODED = ("tokens per forward", "tokens per cycle", "acceptance", "same text as autoregressive", "right answers")
TEXT = ("mode", "domain", "path", "knob")


def write(results: Path, out: Path) -> Path:
    """Write the report and its plots from `results` below `out`; return the report's path."""
    bench, decoding, sweep, analyzed = (
        json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("bench", "decoding", "sweep", "perf_analyzer")
    )
    plots.draw(bench, sweep, analyzed, out / "plots")
    sections = (
        _head(bench, decoding),
        _layers(bench),
        _speed(bench),
        _domains(decoding),
        _sweeps(sweep),
        _analyzer(analyzed),
    )
    target = out / "RESULTS.md"
    target.write_text("\n".join(sections), encoding="utf-8")
    return target


def _head(bench: dict[str, Any], decoding: dict[str, Any]) -> str:
    facts, speed = bench["hardware"], bench["summary"]["speed_against_autoregressive"]
    rows = [
        [mode, *(_spread(speed[mode][layer]["per_token"]) for layer in ("engine", "grpc")), *_decoded(figures)]
        for mode, figures in ((mode, decoding["all"][mode]) for mode in MODES)
    ]
    titles = ("mode", "speed, engine alone", "speed, through Triton gRPC", *DECODED)
    return f"""# Results

Written by `{bench["command"]}` on {bench["measured_at"]}; do not edit.

{_table(titles, rows)}

Speed is tokens per second relative to autoregressive through the same path; above 1 is faster.

- Executed on **{facts["engine"]}**, {facts["threads"]} threads. Nothing here ran on a GPU.
- {facts["processor"]}, {facts["cores"]} cores, {facts["memory_gib"]} GiB; load average at the start {facts["load_average"]}.
- Model {facts["model"]}, {facts["precision"]}, block size {facts["block_size"]}; greedy, the server's defaults for every
  knob not named, at most {bench["max_tokens"]} tokens an answer.
- Times: {bench["prompts"]} held-out prompts, one at a time, {bench["rounds"]} rounds in shuffled order after a warm-up. Every ratio
  pairs samples of the same prompt and round, taken in one run; figures are medians with quartiles in brackets.
- Tokens per forward and right answers: {decoding["all"][MODES[0]]["answers"]} held-out prompts, once per mode.
- Every path and round gave the same text for the same prompt and mode: {"yes" if bench["summary"]["paths_agree"] else "NO"}.
"""  # noqa: E501


def _layers(bench: dict[str, Any]) -> str:
    summary = bench["summary"]
    latency = [[mode, *(_spread(summary["milliseconds"][mode][n], 1) for n in LAYERS)] for mode in MODES]
    over = [[mode, *(_spread(summary["over_engine"][mode][n]) for n in OUTER)] for mode in MODES]
    added = [[mode, *(_spread(summary["added_milliseconds"][mode][n], 1) for n in OUTER)] for mode in MODES]
    outer = ("mode", *(LAYERS[name] for name in OUTER))
    return f"""## What the control loop and Triton add

Milliseconds per answer:

{_table(("mode", *LAYERS.values()), latency)}

As a multiple of the engine's own time:

{_table(outer, over)}

Milliseconds added to the engine's own time:

{_table(outer, added)}

"Engine passes alone" is the time inside the compiled ONNX session, "control loop" is in process from `Runtime.submit`
to the last chunk, both of the same requests. The server does not report engine time, so the two columns of Triton are
set against the in-process engine time of the same prompt in the same round. They include this project's client, which
asks for every counter, and for HTTP the guard in front of Triton.

![latency](plots/latency.png)
"""


def _speed(bench: dict[str, Any]) -> str:
    speed = bench["summary"]["speed_against_autoregressive"]
    token = [[mode, *(_spread(speed[mode][n]["per_token"]) for n in LAYERS)] for mode in MODES]
    answer = [[mode, *(_spread(speed[mode][n]["per_answer"]) for n in LAYERS)] for mode in MODES]
    return f"""## Speed against autoregressive

Tokens per second:

{_table(("mode", *LAYERS.values()), token)}

Whole answers, which in mode diffusion may differ in length:

{_table(("mode", *LAYERS.values()), answer)}
"""


def _domains(decoding: dict[str, Any]) -> str:
    rows = [
        [domain, mode, f"{by_mode[mode]['answers']:.0f}", f"{by_mode[mode]['tokens']:.0f}", *_decoded(by_mode[mode])]
        for domain, by_mode in {"all": decoding["all"], **decoding["domains"]}.items()
        for mode in MODES
    ]
    return f"""## Tokens per forward and acceptance, by domain

A forward is every pass after the prefill; a cycle counts a draft and its verification once, which is how acceptance
lengths are published. Acceptance is the share of drafted tokens that verification confirmed. A right answer is, word
for word, the one held out; an answer cut at {decoding["max_tokens"]} tokens is not.

{_table(("domain", "mode", "answers", "tokens", *DECODED), rows)}
"""


def _sweeps(sweep: dict[str, Any]) -> str:
    titles = ("mode", "knob", "value", "speed per token", *DECODED)
    rows = [
        [row["mode"], f"`{row['sweep']}`", str(row["value"]), _spread(row["speed_per_token"]), *_decoded(row)]
        for row in sweep["rows"]
    ]
    block = max(row["fields"]["block_length"] for row in sweep["rows"] if row["sweep"] == "denoise_steps")
    return f"""## The knobs of a block

In process, {sweep["prompts"]} prompts, {sweep["rounds"]} rounds interleaved with autoregressive, against which speed
is given. `denoise_steps` is swept with `reveal` steps (every pass keeps an equal share) and `block_length` {block},
`block_length` with every other knob at its default.

{_table(titles, rows)}

![steps](plots/steps.png)
"""


def _analyzer(analyzed: dict[str, Any]) -> str:
    if "missing" in analyzed:
        return f"## perf_analyzer {analyzed['version']}\n\nNot run here: {analyzed['missing']}\n"
    base = {(r["path"], r["concurrency"]): r["answers_per_second"] for r in analyzed["rows"] if r["mode"] == MODES[0]}
    rows = [
        [
            PATHS[row["path"]],
            row["mode"],
            str(row["concurrency"]),
            str(row["requests"]),
            *(f"{row[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms", "first_p50_ms", "answers_per_second")),
            f"{row['answers_per_second'] / base[row['path'], row['concurrency']]:.2f}",
        ]
        for row in analyzed["rows"]
    ]
    counts = ("concurrency", "requests")
    times = ("p50 ms", "p95 ms", "p99 ms", "first response p50 ms", "answers/s", "against autoregressive")
    retried = sum(row["tries"] - 1 for row in analyzed["rows"])
    commands = "\n".join(analyzed["commands"].values())
    return f"""## perf_analyzer {analyzed["version"]}

At most {analyzed["max_tokens"]} tokens an answer, the timed prompts, the modes in turn at each level. Latency runs
from sending to the last response, from the exported timestamps. With so few requests p99 is close to the slowest one.
Runs repeated because the tool hung or failed: {retried}.

{_table(("path", "mode", *counts, *times), rows)}

```
{commands}
```

![throughput](plots/throughput.png)
"""


def _decoded(figures: dict[str, Any]) -> list[str]:
    """Return the cells under DECODED."""
    drafted = figures["acceptance_rate"] > 0
    return [
        f"{figures['tokens_per_forward']:.2f}",
        f"{figures['tokens_per_cycle']:.2f}",
        f"{figures['acceptance_rate']:.0%}" if drafted else "",
        f"{figures['equals_autoregressive']:.0%}",
        "" if figures["correct"] is None else f"{figures['correct']:.0%}",
    ]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---" if title in TEXT else "---:" for title in titles], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _spread(spread: dict[str, float], digits: int = 2) -> str:
    median, low, high = (f"{spread[name]:.{digits}f}" for name in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    print(write(here / "results", here).name)
