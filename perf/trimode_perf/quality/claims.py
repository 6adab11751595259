"""What must hold of a checkpoint that ships, checked against its results. Knows nothing of how they were made."""

from __future__ import annotations

from typing import Any

from trimode.api.fields import Mode

from .settings import BLOCKS, THRESHOLD
from .tally import per_cycle, per_forward, total

DROPPED: tuple[str, ...] = ("chain_sum", "sequence", "sort_words", "table")
"""Chat domains that the checkpoint does not claim: their figures stay in the card and count nowhere."""

CODE = "code"
"""The domain of plain texts, which have no right answer."""

EXACT_AT_LEAST = 0.80
DIFFUSION_WITHIN = 0.02
DIFFUSION_PER_FORWARD = 4.0
DRAFTED_PER_CYCLE = 6.4
MEGABYTES_AT_MOST = 64.0
LOAD_SECONDS = 2.0

Run = dict[str, Any]
Claim = dict[str, Any]


def claimed(run: Run) -> list[str]:
    """Return the domains of a run that the checkpoint claims."""
    return sorted(set(run["domains"]) - {CODE, *DROPPED})


def find(results: dict[str, Any], mode: str, block: int | None = None, **wanted: Any) -> Run | None:
    """Return the first run of that mode and block that has the `wanted` values; by default float32, every prompt."""
    same = {"mode": mode, "block_length": block, "precision": "float32", "prompts": "every", "revise_rounds": 0}
    same |= wanted
    return next((run for run in results["runs"] if all(run[key] == value for key, value in same.items())), None)


def conclude(results: dict[str, Any]) -> None:
    """Write the sums over the claimed domains, and the claims, into `results`."""
    asked = {domain for run in results["runs"] for domain in run["domains"]}
    results["dropped"] = [name for name in DROPPED if name in asked]
    for run in results["runs"]:
        run["all"] = total(run["domains"], claimed(run))
    results["claims"] = check(results)


def check(results: dict[str, Any]) -> list[Claim]:
    """Return every claim with what was measured and whether it holds."""
    block = BLOCKS[0]
    serial = _needed(find(results, Mode.AUTOREGRESSIVE))
    diffused = _needed(find(results, Mode.DIFFUSION, block, threshold=THRESHOLD))
    adapter = results["settings"]["adapter"]
    drafted = _needed(find(results, Mode.SELF_SPECULATION, block, adapter=adapter))
    right, diffused_right = serial["all"]["accuracy"], diffused["all"]["accuracy"]
    forward_gives, cycle_gives = per_forward(diffused["all"]), per_cycle(drafted["all"])
    facts = results["checkpoint"]
    how = "with the adapter" if adapter else "(the checkpoint has no adapter)"
    drafted_equal = all(
        run["all"]["exact"] == serial["all"]["exact"]
        for run in _on_every_prompt(results)
        if run["mode"] == Mode.SELF_SPECULATION
    )
    return [
        _equality(results),
        _claim(
            f"autoregressive is exact on at least {EXACT_AT_LEAST:.0%}, on average over the claimed domains",
            f"{right:.1%} over {len(claimed(serial))} domains",
            right >= EXACT_AT_LEAST,
        ),
        _claim(
            f"diffusion, block {block}, threshold {THRESHOLD}, is within {100 * DIFFUSION_WITHIN:g} points of it",
            f"{diffused_right:.1%}, {100 * (diffused_right - right):+.1f} points",
            diffused_right >= right - DIFFUSION_WITHIN,
        ),
        _claim(
            "self-speculation is exact on as many prompts as autoregressive",
            f"{drafted['all']['exact']} and {serial['all']['exact']} of {serial['all']['asked']}",
            drafted_equal,
        ),
        _claim(
            f"diffusion, block {block}, threshold {THRESHOLD}: at least {DIFFUSION_PER_FORWARD} tokens per forward",
            f"{forward_gives:.2f}",
            forward_gives >= DIFFUSION_PER_FORWARD,
        ),
        _claim(
            f"self-speculation {how}, block {block}: at least {DRAFTED_PER_CYCLE} tokens per cycle",
            f"{cycle_gives:.2f}",
            cycle_gives >= DRAFTED_PER_CYCLE,
        ),
        _claim(
            f"the checkpoint is at most {MEGABYTES_AT_MOST:g} MB",
            f"{facts['megabytes']} MB",
            facts["megabytes"] <= MEGABYTES_AT_MOST,
        ),
        _claim(
            f"it loads in under {LOAD_SECONDS:g} s",
            f"{facts['load_seconds']} s",
            facts["load_seconds"] < LOAD_SECONDS,
        ),
    ]


def lines(results: dict[str, Any]) -> list[str]:
    """Return the claims as lines to print."""
    return [f"{'pass' if c['holds'] else 'FAIL'}  {c['claim']}: {c['measured']}" for c in results["claims"]]


def _equality(results: dict[str, Any]) -> Claim:
    """Hold every draft setting against autoregressive, on every prompt, plain texts included."""
    asked = same = 0
    for run in _on_every_prompt(results):
        if run["mode"] == Mode.SELF_SPECULATION:
            asked += sum(counts["asked"] for counts in run["domains"].values())
            same += sum(counts["same_as_autoregressive"] for counts in run["domains"].values())
    claim = (
        "greedy self-speculation gives the autoregressive tokens on every held-out prompt, at every block length asked"
    )
    return _claim(claim, f"{same} of {asked} answers", same == asked)


def _on_every_prompt(results: dict[str, Any]) -> list[Run]:
    return [run for run in results["runs"] if (run["precision"], run["prompts"]) == ("float32", "every")]


def _needed(run: Run | None) -> Run:
    if run is None:
        raise ValueError("the results lack a run that the claims are about")
    return run


def _claim(claim: str, measured: str, holds: bool) -> Claim:
    return {"claim": claim, "measured": measured, "holds": holds}
