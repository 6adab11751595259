"""What must hold of a checkpoint that ships, checked against its results. Knows nothing of how they were made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trimode.api.fields import Mode

from ..common import claims
from ..common.progress import MeasureError
from ..common.prompts import CODE, DROPPED
from .settings import BLOCKS, THRESHOLD
from .tally import per_cycle, per_forward, total

EXACT_AT_LEAST = 0.80
DIFFUSION_WITHIN = 0.02
DIFFUSION_PER_FORWARD = 4.0
DRAFTED_PER_CYCLE = 6.4
MEGABYTES_AT_MOST = 64.0
LOAD_SECONDS = 2.0
DIFFUSED = f"diffusion, block {BLOCKS[0]}, threshold {THRESHOLD}"

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


def needed(results: dict[str, Any], mode: str, block: int | None = None, **wanted: Any) -> Run:
    """Return the same; raises MeasureError if there is no such run."""
    run = find(results, mode, block, **wanted)
    if run is None:
        raise MeasureError(f"the results lack {mode} at block {block}")
    return run


def conclude(results: dict[str, Any]) -> None:
    """Write the sums over the claimed domains, and the claims, into `results`."""
    asked = {domain for run in results["runs"] for domain in run["domains"]}
    results["dropped"] = [name for name in DROPPED if name in asked]
    for run in results["runs"]:
        run["all"] = total(run["domains"], claimed(run))
    results["claims"] = check(results)


def check(results: dict[str, Any]) -> list[Claim]:
    """Return every claim with what was measured and whether it holds."""
    adapter, facts = results["settings"]["adapter"], results["checkpoint"]
    serial = needed(results, Mode.AUTOREGRESSIVE)
    diffused = needed(results, Mode.DIFFUSION, BLOCKS[0], threshold=THRESHOLD)["all"]
    drafted = needed(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=adapter)["all"]
    size, seconds = facts["megabytes"], facts["load_seconds"]
    found = [
        *_exactness(results, serial, diffused, drafted),
        *_costs(diffused, drafted, adapter),
        (f"the checkpoint is at most {MEGABYTES_AT_MOST:g} MB", f"{size} MB", size <= MEGABYTES_AT_MOST),
        (f"it loads in under {LOAD_SECONDS:g} s", f"{seconds} s", seconds < LOAD_SECONDS),
    ]
    return [{"claim": claim, "measured": measured, "holds": holds} for claim, measured, holds in found]


def held(results: dict[str, Any]) -> list[claims.Claim]:
    """Return the claims as they are printed."""
    return [claims.Claim(f"{claim['claim']}: {claim['measured']}", claim["holds"]) for claim in results["claims"]]


def _exactness(
    results: dict[str, Any], serial: Run, diffused: dict[str, Any], drafted: dict[str, Any]
) -> Iterator[tuple[str, str, bool]]:
    """Yield what is claimed of right and equal answers; drafts are held to it in every setting, on every prompt."""
    every = [run for run in results["runs"] if (run["precision"], run["prompts"]) == ("float32", "every")]
    drafts = [run for run in every if run["mode"] == Mode.SELF_SPECULATION]
    counts = [counts for run in drafts for counts in run["domains"].values()]
    asked, same = (sum(one[name] for one in counts) for name in ("asked", "same_as_autoregressive"))
    claim = "greedy self-speculation gives the autoregressive tokens on every held-out prompt"
    yield f"{claim}, at every block length asked", f"{same} of {asked} answers", same == asked
    sums, right, parallel = serial["all"], serial["all"]["accuracy"], diffused["accuracy"]
    claim = f"autoregressive is exact on at least {EXACT_AT_LEAST:.0%}, on average over the claimed domains"
    yield claim, f"{right:.1%} over {len(claimed(serial))} domains", right >= EXACT_AT_LEAST
    within = f"is within {100 * DIFFUSION_WITHIN:g} points of it"
    measured = f"{parallel:.1%}, {100 * (parallel - right):+.1f} points"
    yield f"{DIFFUSED}, {within}", measured, parallel >= right - DIFFUSION_WITHIN
    measured = f"{drafted['exact']} and {sums['exact']} of {sums['asked']}"
    equal = all(run["all"]["exact"] == sums["exact"] for run in drafts)
    yield "self-speculation is exact on as many prompts as autoregressive", measured, equal


def _costs(diffused: dict[str, Any], drafted: dict[str, Any], adapter: bool) -> Iterator[tuple[str, str, bool]]:
    """Yield what is claimed of tokens per forward and per cycle."""
    forward, cycle = per_forward(diffused), per_cycle(drafted)
    how = "with the adapter" if adapter else "(the checkpoint has no adapter)"
    claim = f"{DIFFUSED}: at least {DIFFUSION_PER_FORWARD} tokens per forward"
    yield claim, f"{forward:.2f}", forward >= DIFFUSION_PER_FORWARD
    claim = f"self-speculation {how}, block {BLOCKS[0]}: at least {DRAFTED_PER_CYCLE} tokens per cycle"
    yield claim, f"{cycle:.2f}", cycle >= DRAFTED_PER_CYCLE
