"""What must hold of a run of `make perf`, each as a line with its figures."""

from __future__ import annotations

from typing import Any

from ..common.statistics import Spread

LOOP, TRITON = 1.05, 1.10
"""Most that the control loop in process, and Triton over gRPC, may take against the engine's passes alone."""
TORCH = 4.0
SPECULATION, DIFFUSION = 2.0, 2.5
"""Least speed against autoregressive, one request at a time."""
BEST = 0.95
"""Least share of the best fixed choice's speed that auto must have."""
BATCH_AT, BATCH = 8, 2.5
START_SECONDS = 3.0

Line = tuple[str, bool]


def claims(found: dict[str, dict[str, Any]]) -> list[Line]:
    """Return what must hold, with its figures, and whether it does; parts that were not measured have no line."""
    lines = _overheads(found["bench"]["summary"]["over_engine"])
    if "peers" in found:
        lines += _peers(found["peers"])
    lines += _speeds(found["bench"]["summary"]["speed_against_autoregressive"])
    lines += _auto(found["domains"], found["concurrency"])
    lines.append(_batching(found["concurrency"]))
    same = found["concurrency"]["equal_to_alone"], found["concurrency"]["sampled_equal_to_alone"]
    texts = ("greedy", "sampled with a seed")
    differing = [name for name, alike in zip(texts, same, strict=True) if not alike]
    lines.append((f"answers at every load equal those alone: {', '.join(differing) or 'none'} differ", all(same)))
    start = found["startup"]["seconds"]["median"]
    lines.append((f"make serve on a built bundle is ready after {start:.1f} s, {START_SECONDS:g} at most",
                  start <= START_SECONDS))  # fmt: skip
    return lines


def text(found: dict[str, dict[str, Any]]) -> str:
    """Return the lines as they are printed."""
    return "\n".join(f"{'pass' if holds else 'FAIL'}  {line}" for line, holds in claims(found))


def _overheads(over: dict[str, Any]) -> list[Line]:
    lines = []
    for layer, name, most in (("loop", "the control loop in process", LOOP), ("grpc", "Triton over gRPC", TRITON)):
        for mode, layers in over.items():
            ratio = layers[layer]["median"]
            text = f"{name} takes {ratio:.2f} times the engine's passes in {mode}, {most:.2f} at most"
            lines.append((text, ratio <= most))
    return lines


def _peers(peers: dict[str, Any]) -> list[Line]:
    rows = [row for row in peers["rows"] if row["peer"] == "torch"]
    failed = [(f"torch eager was timed: {row['error']}", False) for row in rows if "error" in row]
    return failed + [
        (
            f"torch eager takes {row['times_ours']['median']:.1f} times as long in {row['mode']}, {TORCH:g} at least"
            + (
                f"; its products alone would be {row['times_products']['median']:.1f} times as fast as it"
                if "times_products" in row
                else ""
            ),
            row["times_ours"]["median"] >= TORCH,
        )
        for row in rows
        if "error" not in row
    ]


def _speeds(speed: dict[str, Any]) -> list[Line]:
    engine = {mode: layers["engine"]["per_token"]["median"] for mode, layers in speed.items()}
    exact = max(engine["self_speculation"], engine["auto"])
    return [
        (f"self-speculation or auto is {exact:.2f} times as fast as autoregressive, {SPECULATION:g} at least",
         exact >= SPECULATION),
        (f"diffusion is {engine['diffusion']:.2f} times as fast as autoregressive, {DIFFUSION:g} at least",
         engine["diffusion"] >= DIFFUSION),
    ]  # fmt: skip


def _auto(domains: dict[str, Any], concurrency: dict[str, Any]) -> list[Line]:
    lines = []
    shares = by_domain(domains)
    worst = min(shares, key=lambda name: shares[name][1])
    short = [name for name, (_, share) in shares.items() if share < BEST]
    lines.append((f"auto has at least {BEST:.0%} of the best fixed choice's speed in {len(shares) - len(short)} of "
                  f"{len(shares)} domains; least in {worst}: {shares[worst][1]:.0%}", not short))  # fmt: skip
    for level, (choice, share) in by_level(concurrency).items():
        told = f"{share.median:.0%} ({share.low:.0%} to {share.high:.0%})"
        lines.append((f"auto has {told} of the speed of the best fixed choice at {level} at once ({choice}), "
                      f"{BEST:.0%} at least", share.median >= BEST))  # fmt: skip
    choice, share = overall(domains)
    lines.append((f"over all domains auto is {share:.2f} times as fast as the best single fixed choice ({choice})",
                  share > 1.0))  # fmt: skip
    return lines


def by_domain(domains: dict[str, Any]) -> dict[str, tuple[str, float]]:
    """Return, for each domain, the best fixed choice and auto's speed against it."""
    found = {}
    for name, taken in domains["domains"].items():
        fixed = {choice: spent for choice, spent in taken.items() if choice != "auto"}
        best = min(fixed, key=fixed.__getitem__)
        found[name] = (best, fixed[best] / taken["auto"])
    return found


def by_level(concurrency: dict[str, Any]) -> dict[int, tuple[str, Spread]]:
    """Return, for each concurrency, the best fixed choice of the same text and auto's throughput against it.

    Both by pairs of one round: the choice is the one with the greatest median ratio to auto.
    """
    found = {}
    for level in sorted({row["concurrency"] for row in concurrency["rows"]}):
        rates = {row["choice"]: row["against_auto"] for row in concurrency["rows"]
                 if row["concurrency"] == level and row["choice"] not in ("auto", "diffusion")}  # fmt: skip
        best = max(rates, key=lambda choice: rates[choice]["median"])
        found[level] = (best, Spread(*(1 / rates[best][name] for name in ("median", "high", "low"))))
    return found


def overall(domains: dict[str, Any]) -> tuple[str, float]:
    """Return the fixed choice that is best over all domains together, and auto's speed against it."""
    sums: dict[str, float] = {}
    for taken in domains["domains"].values():
        for choice, spent in taken.items():
            sums[choice] = sums.get(choice, 0.0) + spent
    auto = sums.pop("auto")
    best = min(sums, key=sums.__getitem__)
    return best, sums[best] / auto


def _batching(concurrency: dict[str, Any]) -> Line:
    row = next(r for r in concurrency["rows"] if (r["concurrency"], r["choice"]) == (BATCH_AT, "autoregressive"))
    gain = row["against_alone"]["median"]
    return f"autoregressive at {BATCH_AT} at once gives {gain:.2f} times the tokens, {BATCH:g} at least", gain >= BATCH
