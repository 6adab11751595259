"""The report's sections beyond one request in one mode: stages, peers, auto, crowds, lengths, start-up."""

from __future__ import annotations

from typing import Any

from ..common.markdown import spread, table
from ..peers import table as peer_table
from . import held
from . import timeline as timing

MODES = ("autoregressive", "diffusion", "self_speculation", "auto")
BLOCKS, ENGINE_GAIN = (8, 16, 32), 1.5
"""Where a second CPU engine has to be so many times as fast."""


def timeline(timeline: dict[str, Any]) -> str:
    """Return where an answer's time goes."""
    stages, modes, again = {**timing.STAGES, "total": "all of it"}, timeline["modes"], timeline["again"]
    rows = [[name, *(f"{modes[mode][stage]:.0f}" for mode in MODES)] for stage, name in stages.items()]
    passes = ["passes", *(f"{modes[mode]['passes']:.0f}" for mode in MODES)]
    fixed = {mode: sum(modes[mode][stage] for stage in timing.ONCE) for mode in MODES}
    per_pass = {
        mode: (modes[mode]["total"] - modes[mode]["pass"] - fixed[mode]) / modes[mode]["passes"] for mode in MODES
    }
    once = ["spent once an answer, whatever its length", *(f"{fixed[mode]:.0f}" for mode in MODES)]
    added = ["spent around each pass", *(f"{per_pass[mode]:.0f}" for mode in MODES)]
    budget = held.LOOP - 1
    enough = [
        f"what a pass must take for that to be {budget:.0%} of it",
        *(f"{per_pass[m] / budget:.0f}" for m in MODES),
    ]
    return f"""### Where the time of an answer goes

Microseconds an answer in process, medians; stages are timed around the runtime's own functions.

{table(("stage", *MODES), [*rows, passes, once, added, enough])}

Most of the loop's share is code that starts cold, because every pass pulls the model's weights through the processor's
caches: asked again and again with no pass between, the same checks take {again["check"]:.0f} and the same prompts
{again["prompt"]:.0f} microseconds.
"""


def peers(peers: dict[str, Any]) -> str:
    """Return how peers compare."""
    return f"""## Against what people could use instead

The same checkpoint and prompts, interleaved; each peer in a process of its own that waits while another is asked. A
peer's time is from ids to ids, ours from submit to the last chunk, text included.

{peer_table.text(peers)}

llama.cpp is left out: llama-cpp-python comes as source only, and no GGUF of this checkpoint was made.
"""


def auto_by_domain(domains: dict[str, Any]) -> str:
    """Return auto against fixed choices, one request at a time."""
    best = held.by_domain(domains)
    choices = list(next(iter(domains["domains"].values())))
    rows = [
        [name, *(f"{taken[choice]:.0f}" for choice in choices), best[name][0], f"{best[name][1]:.2f}"]
        for name, taken in domains["domains"].items()
    ]
    same = "yes" if domains["same_text"] else "NO"
    return f"""## Auto, by domain

Milliseconds for all of a domain's prompts, one at a time in process: for auto the sum of each one's median over
{domains["rounds"]} rounds after two of warm-up, for the others that times the median ratio to it, of pairs of one
prompt and round. {domains["prompts"]} prompts, none of which auto has met: it knows others of the same domains.
Every choice gave the same text: {same}.

{table(("domain", *choices, "best fixed choice", "auto's speed against it"), rows)}
"""


def auto_by_concurrency(found: dict[str, Any]) -> str:
    """Return latency and throughput of crowds."""
    rows = [
        [
            str(row["concurrency"]),
            row["choice"],
            *(f"{row[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms", "first_p50_ms")),
            f"{row['tokens_per_second']['median']:.0f}",
            f"{row['tokens_per_second_per_user']:.0f}",
            spread(row["against_autoregressive"]),
            spread(row["against_auto"]),
            spread(row["against_alone"]),
        ]
        for row in found["rows"]
    ]
    titles = (
        *("at once", "choice", "p50 ms", "p95 ms", "p99 ms", "first text p50 ms", "tokens/s", "tokens/s each"),
        *("against autoregressive", "against auto", "against one at a time"),
    )
    same = "yes" if found["equal_to_alone"] else "NO"
    sampled = "yes" if found["sampled_equal_to_alone"] else "NO"
    return f"""## Auto and the others, by concurrency

In process, streamed: so many askers, each with its next prompt when the last is answered, until each of
{found["prompts"]} prompts, of every domain and unknown to auto, is answered; {found["rounds"]} rounds, choices in turn.
Ratios pair crowds of one round. Answers equal to those given alone: greedy {same}, sampled with a seed {sampled}.

{table(titles, rows)}
"""


def growth(growth: dict[str, Any]) -> str:
    """Return how cost grows with length."""

    def rows(axis: str) -> list[list[str]]:
        return [
            [
                str(row["tokens"]),
                row["mode"],
                spread(row["first_milliseconds"], 1),
                spread(row["milliseconds"], 1),
                spread(row["speed_against_autoregressive"]),
            ]
            for row in sorted(growth["rows"], key=lambda row: (row["tokens"], MODES.index(row["mode"])))
            if row["axis"] == axis
        ]

    shared = growth["shared"]
    titles = ("mode", "first token ms", "whole answer ms", "speed against autoregressive")
    return f"""## Long prompts, long answers

One request at a time in process, {growth["rounds"]} rounds in shuffled order; answers go on past their end to the
length given, where the checkpoint has little to say: what blocks gain there is not what they gain on its domains.

Prompts of 64 to 4096 tokens, as far as the checkpoint's {growth["capacity"]} hold them with the answer, which is of {growth["output"]} tokens:

{table(("prompt tokens", *titles), rows("prompt"))}

Answers, behind a prompt of {growth["prompt"]} tokens:

{table(("answer tokens", *titles), rows("output"))}

Questions behind one shared text, {shared["prompt"]} tokens in all: with the prefix cache the first token comes
{spread(shared["times_faster"])} times as soon; {shared["hit_rate"]:.0%} of the prompts' tokens were found there.
"""  # noqa: E501


def startup(startup: dict[str, Any]) -> str:
    """Return time to ready, and memory."""
    held_by = ", ".join(f"{name} {mib:g}" for name, mib in startup["memory_mib"].items())
    return f"""## Start-up and memory

`make serve` on a built bundle is ready after {spread(startup["seconds"])} s, {startup["times"]} times. Memory then, in MiB, by process (what
pages they share is divided among them): {held_by}. The weights are {startup["weights_mib"]:.0f} MiB; the engine that holds
them is in triton_python_backend_stub, and there alone.
"""  # noqa: E501


def openvino(openvino: dict[str, Any]) -> str:
    """Return what another CPU engine would take for the same passes."""
    rows = [
        [row["engine"], str(row["tokens"]), spread(row["milliseconds"]), spread(row["times_as_fast"])]
        for row in openvino["rows"]
    ]
    block = [row for row in openvino["rows"] if row["tokens"] in BLOCKS and row["engine"].startswith("openvino")]
    best = max(block, key=lambda row: row["times_as_fast"]["median"])
    gain = best["times_as_fast"]["median"]
    same = ", ".join(f"{name} {share:.0%}" for name, share in openvino["same_best_token"].items())
    verdict = "would be worth" if gain >= ENGINE_GAIN else "is not worth"
    return f"""## OpenVINO as a second CPU engine

The bundle's own graph in OpenVINO {openvino["openvino"]}, behind {openvino["context"]} tokens, {openvino["rounds"]} rounds in shuffled order, against the
engine that serves. A second engine has to take a pass over a block of 8 to 32 at least {ENGINE_GAIN:g} times as fast: the best is {gain:.2f}
({best["engine"]}, {best["tokens"]} tokens), so for this checkpoint on this machine it {verdict} its upkeep. Same best token at every
place of one pass: {same}.

{table(("engine", "tokens in the pass", "milliseconds", "times as fast as ours"), rows)}
"""  # noqa: E501
