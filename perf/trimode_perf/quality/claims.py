"""What must hold of a checkpoint that ships, checked against its results. Knows nothing of how they were made."""

from __future__ import annotations

import math
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
INT8_WITHIN = 0.005
MEGABYTES_AT_MOST = 64.0
SEEING_MEGABYTES_AT_MOST = 24.0
READ_AT_LEAST = 0.90
"""A picture domain is claimed where autoregressive is exact on so many."""
READ_DOMAINS = 4
"""Picture domains that must be claimed at the least."""
LUCK = 3.0
"""Standard errors, and one answer more, by which answers without the picture may be right more often than chance."""
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
    for run in results.get("pictures", {}).get("runs", []):
        run["all"] = total(run["domains"], run["domains"])
    results["claims"] = check(results)


def seeing(results: dict[str, Any], mode: str, *, blank: bool, speculation: str = "linear") -> Run:
    """Return the answers to questions on pictures, or with blank ones; raises MeasureError if there are none."""
    same = {"mode": mode, "blank": blank, "speculation": speculation}
    for run in results["pictures"]["runs"]:
        if all(run[key] == value for key, value in same.items()):
            return dict(run)
    raise MeasureError(f"the results lack {mode} on pictures")


def reads(results: dict[str, Any]) -> list[str]:
    """Return the picture domains that the checkpoint claims, in the order of the results."""
    domains = seeing(results, Mode.AUTOREGRESSIVE, blank=False)["domains"]
    return [name for name, counts in domains.items() if counts["exact"] >= READ_AT_LEAST * counts["asked"]]


def check(results: dict[str, Any]) -> list[Claim]:
    """Return every claim with what was measured and whether it holds."""
    adapter, facts = results["settings"]["adapter"], results["checkpoint"]
    serial = needed(results, Mode.AUTOREGRESSIVE)
    diffused = needed(results, Mode.DIFFUSION, BLOCKS[0], threshold=THRESHOLD)["all"]
    drafted = needed(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=adapter)["all"]
    size, seconds = facts["megabytes"], facts["load_seconds"]
    most = SEEING_MEGABYTES_AT_MOST if "pictures" in results else MEGABYTES_AT_MOST
    found = [
        *_exactness(results, serial, diffused, drafted),
        *_costs(diffused, drafted, adapter),
        *(_pictures(results) if "pictures" in results else ()),
        (f"the checkpoint is at most {most:g} MB", f"{size} MB", size <= most),
        (f"it loads in under {LOAD_SECONDS:g} s", f"{seconds} s", seconds < LOAD_SECONDS),
        *_fewer_bits(results),
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


def _fewer_bits(results: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Yield how near right answers in int8 are to those in float32, in every mode that was counted in both."""
    pairs = [
        (run["all"]["accuracy"], needed(results, run["mode"], run["block_length"], **_way(run))["all"]["accuracy"])
        for run in results["runs"]
        if run["precision"] == "int8"
    ]
    if pairs:
        worst = min(narrow - wide for narrow, wide in pairs)
        claim = f"int8 is within {100 * INT8_WITHIN:g} points of float32 in every mode"
        yield claim, f"{100 * worst:+.1f} points at worst", worst >= -INT8_WITHIN


def _way(run: Run) -> dict[str, Any]:
    """Return what tells a run from others of its mode and block."""
    return {name: run[name] for name in ("threshold", "adapter", "denoise_steps")}


def _costs(diffused: dict[str, Any], drafted: dict[str, Any], adapter: bool) -> Iterator[tuple[str, str, bool]]:
    """Yield what is claimed of tokens per forward and per cycle."""
    forward, cycle = per_forward(diffused), per_cycle(drafted)
    how = "with the adapter" if adapter else "(the checkpoint has no adapter)"
    claim = f"{DIFFUSED}: at least {DIFFUSION_PER_FORWARD} tokens per forward"
    yield claim, f"{forward:.2f}", forward >= DIFFUSION_PER_FORWARD
    claim = f"self-speculation {how}, block {BLOCKS[0]}: at least {DRAFTED_PER_CYCLE} tokens per cycle"
    yield claim, f"{cycle:.2f}", cycle >= DRAFTED_PER_CYCLE


def _pictures(results: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Yield what is claimed of answers to questions on pictures, and of those without the picture."""
    known, runs = reads(results), results["pictures"]["runs"]
    claim = f"at least {READ_DOMAINS} picture domains are exact on {READ_AT_LEAST:.0%} or more in autoregressive mode"
    yield claim, f"{len(known)}: {', '.join(known) or 'none'}", len(known) >= READ_DOMAINS
    lucky = sorted({name for run in runs if run["blank"] for name in _above_chance(results, run)})
    claim = f"with a blank picture nothing is right more often than chance (within {LUCK:g} standard errors)"
    yield claim, f"above it: {', '.join(lucky) or 'none'}", not lucky
    drafts = [run["all"] for run in runs if run["mode"] == Mode.SELF_SPECULATION]
    asked, same = (sum(one[name] for one in drafts) for name in ("asked", "same_as_autoregressive"))
    claim = "greedy self-speculation, linear and quadratic, gives the autoregressive tokens on every picture, and blank"
    yield claim, f"{same} of {asked} answers", same == asked


def _above_chance(results: dict[str, Any], run: Run) -> list[str]:
    """Return the domains of a run that are right more often than luck explains."""
    found = []
    for name, counts in run["domains"].items():
        chance, asked = results["pictures"]["chance"][name], counts["asked"]
        if counts["exact"] > asked * chance + LUCK * math.sqrt(asked * chance * (1 - chance)) + 1:
            found.append(name)
    return found
