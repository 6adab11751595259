"""perf/results/*.json as perf/RESULTS.md and perf/plots/*.png; every ratio is of one run's interleaved samples.

`python -m trimode_perf.speed.report` writes them again without measuring.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..common.markdown import spread, table
from ..common.paths import PERF
from . import beyond, held, plots

MODES = ("autoregressive", "diffusion", "self_speculation", "auto")
LAYERS = {
    "engine": "engine passes alone",
    "loop": "control loop",
    "grpc": "Triton gRPC",
    "http": "Triton HTTP generate",
}
OUTER = ("loop", "grpc", "http")
PATHS = {"grpc_stream": "gRPC stream", "http_stream": "HTTP generate_stream", "http_generate": "HTTP generate"}
DECODED = ("tokens per forward", "tokens per cycle", "acceptance", "same text as autoregressive", "right answers")


def write(results: Path, out: Path) -> Path:
    """Write the report and its plots from `results` below `out`; return the report's path."""
    found = read(results)
    plots.draw(found["bench"], found["sweep"], found["perf_analyzer"], out / "plots")
    target = out / "RESULTS.md"
    target.write_text(text(found), encoding="utf-8")
    return target


def read(results: Path) -> dict[str, dict[str, Any]]:
    """Return the results of every part by name."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))}
    when = found["bench"]["measured_at"]
    return {name: data for name, data in found.items() if data.get("measured_at") == when}  # of one run only


def text(found: dict[str, dict[str, Any]]) -> str:
    """Return the report."""
    bench, decoding, sweep = found["bench"], found["decoding"], found["sweep"]
    sections = (
        _head(bench, decoding, sweep),
        _held(found),
        _layers(bench),
        beyond.timeline(found["timeline"]),
        _speed(bench),
        *([beyond.peers(found["peers"])] if "peers" in found else []),
        beyond.auto_by_domain(found["domains"]),
        beyond.auto_by_concurrency(found["concurrency"]),
        beyond.growth(found["growth"]),
        beyond.startup(found["startup"]),
        _domains(decoding),
        _cost(found["cost"]),
        *([beyond.openvino(found["openvino"])] if "openvino" in found else []),
        _sweeps(sweep),
        *([_int8(found["int8"])] if "int8" in found else []),
        _analyzer(found["perf_analyzer"]),
    )
    return "\n".join(sections)


def _head(bench: dict[str, Any], decoding: dict[str, Any], sweep: dict[str, Any]) -> str:
    facts = bench["hardware"]
    return f"""# Results

Written by `{bench["command"]}` on {bench["measured_at"]}; do not edit.

{headline(bench, decoding)}

Speed is tokens per second relative to autoregressive through the same path; above 1 is faster. The block's default length
is the checkpoint's, {facts["block_size"]}; the fastest in the sweep below: {_fastest(sweep)}.

- Executed on **{facts["engine"]}**, {facts["threads"]} threads. Nothing here ran on a GPU.
- {facts["processor"]}, {facts["cores"]} cores, {facts["memory_gib"]} GiB; load average at the start {facts["load_average"]}.
- Model {facts["model"]}, {facts["precision"]}, block size {facts["block_size"]}; greedy, the server's defaults for every
  knob not named, at most {bench["max_tokens"]} tokens an answer.
- Times: {bench["prompts"]} held-out prompts, one at a time, {bench["rounds"]} rounds in shuffled order after a warm-up. Every ratio
  pairs samples of the same prompt and round, taken in one run; figures are medians with quartiles in brackets.
- Tokens per forward and right answers: {decoding["all"][MODES[0]]["answers"]} held-out prompts, once per mode.
- Every path and round gave the same text for the same prompt and mode: {"yes" if bench["summary"]["paths_agree"] else "NO"}.
"""  # noqa: E501


def headline(bench: dict[str, Any], decoding: dict[str, Any]) -> str:
    """Return the first table."""
    speed = bench["summary"]["speed_against_autoregressive"]
    rows = [
        [mode, *(spread(speed[mode][layer]["per_token"]) for layer in ("engine", "grpc")), *_decoded(figures)]
        for mode, figures in ((mode, decoding["all"][mode]) for mode in MODES)
    ]
    return table(("mode", "speed, engine alone", "speed, through Triton gRPC", *DECODED), rows)


def _fastest(sweep: dict[str, Any]) -> str:
    """Say which block_length was the fastest of the sweep in each mode that has one."""
    best = []
    for mode in ("diffusion", "self_speculation"):
        rows = [row for row in sweep["rows"] if (row["mode"], row["sweep"]) == (mode, "block_length")]
        row = max(rows, key=lambda row: row["speed_per_token"]["median"])
        best.append(f"{row['value']:g} in {mode} with {spread(row['speed_per_token'])}")
    return ", ".join(best)


def _held(found: dict[str, dict[str, Any]]) -> str:
    return f"""## What must hold

```
{held.text(found)}
```

Where a line fails: "What the control loop and Triton add" has what is added in milliseconds, and where it goes; "What
a pass costs" and a domain's tokens per forward bound what a mode can gain there. The loop is set against the engine
time of the same request, Triton against that of another one in the same round, and the machine may be faster for one.
"""


def _layers(bench: dict[str, Any]) -> str:
    summary = bench["summary"]
    latency = [[mode, *(spread(summary["milliseconds"][mode][n], 1) for n in LAYERS)] for mode in MODES]
    over = [[mode, *(spread(summary["over_engine"][mode][n]) for n in OUTER)] for mode in MODES]
    added = [[mode, *(spread(summary["added_milliseconds"][mode][n], 1) for n in OUTER)] for mode in MODES]
    outer = ("mode", *(LAYERS[name] for name in OUTER))
    return f"""## What the control loop and Triton add

Milliseconds per answer:

{table(("mode", *LAYERS.values()), latency)}

As a multiple of the engine's own time:

{table(outer, over)}

Milliseconds added to the engine's own time:

{table(outer, added)}

"Engine passes alone" is the time inside the compiled ONNX session, "control loop" is in process from `Runtime.submit`
to the last chunk, both of the same requests. The server does not report engine time, so the two columns of Triton are
set against the in-process engine time of the same prompt in the same round. They include the leanest
client of Python (one gRPC stream of tritonclient that stays open, http.client on a kept connection; text only) and, for
HTTP, the guard in front of Triton.

![latency](plots/latency.png)
"""


def _speed(bench: dict[str, Any]) -> str:
    speed = bench["summary"]["speed_against_autoregressive"]
    token = [[mode, *(spread(speed[mode][n]["per_token"]) for n in LAYERS)] for mode in MODES]
    answer = [[mode, *(spread(speed[mode][n]["per_answer"]) for n in LAYERS)] for mode in MODES]
    return f"""## Speed against autoregressive

Tokens per second:

{table(("mode", *LAYERS.values()), token)}

Whole answers, which in mode diffusion may differ in length:

{table(("mode", *LAYERS.values()), answer)}
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

{table(("domain", "mode", "answers", "tokens", *DECODED), rows)}
"""


def _cost(cost: dict[str, Any]) -> str:
    rows = [[str(row["tokens"]), spread(row["milliseconds"]), spread(row["times_one"])] for row in cost["rows"]]
    return f"""## What a pass costs

One bidirectional pass of the engine behind {cost["context"]} tokens, {cost["rounds"]} rounds in shuffled order. A block
pays when the tokens it gives per forward exceed what its forwards cost in passes over one token.

{table(("tokens in the pass", "milliseconds", "times a pass over one token"), rows)}
"""


def _sweeps(sweep: dict[str, Any]) -> str:
    titles = ("mode", "knob", "value", "speed per token", *DECODED)
    rows = [
        [row["mode"], row["sweep"], f"{row['value']:g}", spread(row["speed_per_token"]), *_decoded(row)]
        for row in sweep["rows"]
    ]
    block = max(row["fields"]["block_length"] for row in sweep["rows"] if row["sweep"] == "denoise_steps")
    return f"""## The knobs of a block

In process, {sweep["prompts"]} prompts, {sweep["rounds"]} rounds interleaved with autoregressive, against which speed
is given. Knobs not named are at their defaults. `denoise_steps` bounds the passes over a block of {block}: in mode
diffusion a pass keeps every token that reaches the threshold, with `reveal` steps an equal share instead; in mode
self_speculation the passes refine the draft, which one more pass verifies.

{table(titles, rows)}

![steps](plots/steps.png)
"""


def _int8(int8: dict[str, Any]) -> str:
    titles = ("int8 against", "answers", "answers that differ", "tokens up to there", "departures per 1000 tokens")
    names = (
        ("speculation", "self-speculation against autoregressive, both int8"),
        ("float32", "autoregressive, float32"),
    )
    rows = [
        [name, str(int8["answers"]), *(f"{int8[key][part]:g}" for part in ("differing_answers", "tokens_compared")),
         f"{int8[key]['per_1000_tokens']:.2f}"]
        for key, name in names
    ]  # fmt: skip
    correct = {name: "-" if share is None else f"{100 * share:.0f}%" for name, share in int8["correct"].items()}
    return f"""## int8

Greedy, {int8["answers"]} held-out prompts. float32 speculation gives the autoregressive tokens; int8 rounds
activations, so a pass over a block and a pass over a token can fall on different sides of a near tie. An answer departs
once, at its first differing token. Right answers: {correct["float32"]} in float32, {correct["int8"]} in int8. An
autoregressive token takes the int8 engine 1/{int8["speed_per_token"]:.2f} of float32's time.

{table(titles, rows)}
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
            f"{row['answers_per_second'] / base[at]:.2f}" if at in base else "",
        ]
        for row in analyzed["rows"]
        for at in [(row["path"], row["concurrency"])]
    ]
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


if __name__ == "__main__":
    here = PERF
    print(write(here / "results", here).name)
