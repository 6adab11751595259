"""`python -m scripts.capacity`: how many replicas a load needs. docs/guides/capacity.md explains it.

Exit codes: 0 answered, 1 the limits cannot be kept or the curve cannot be had.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from .demand import Demand, replicas
from .measured import CurveError, curve
from .modelled import replica

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ROOT / "perf" / "results" / "concurrency.json"
BLOCK = 32  # tokens that a pass of diffusion or self-speculation has of a sequence
BLOCK_MODES = ("diffusion", "self_speculation")


def positive(text: str) -> float:
    """Read a number above 0."""
    if not 0 < (value := float(text)) < math.inf:
        raise ValueError
    return value


def share(text: str) -> float:
    """Read a number above 0 and at most 1."""
    if not 0 < (value := float(text)) <= 1:
        raise ValueError
    return value


def count(text: str) -> int:
    """Read a whole number from 1 on."""
    if (value := int(text)) < 1:
        raise ValueError
    return value


def parser() -> argparse.ArgumentParser:
    """Return the command line's."""
    made = argparse.ArgumentParser(prog="python -m scripts.capacity", description="How many replicas a load needs.")
    made.add_argument("--requests", type=positive, required=True, metavar="N", help="requests a second")
    made.add_argument(
        "--prompt", type=count, default=500, metavar="N", help="tokens of a prompt (default: %(default)s)"
    )
    made.add_argument("--answer", type=count, required=True, metavar="N", help="tokens of an answer")
    made.add_argument(
        "--first-ms", type=positive, default=math.inf, metavar="MS", help="longest time to the first token"
    )
    made.add_argument("--token-ms", type=positive, default=math.inf, metavar="MS", help="longest time for each token")
    made.add_argument(
        "--load", type=share, default=0.7, help="share of its best rate that a replica gets (default: %(default)s)"
    )
    made.add_argument("--mode", default="autoregressive", help="mode of the requests (default: %(default)s)")
    made.add_argument("--curve", type=Path, default=MEASURED, metavar="FILE", help="a concurrency.json of make perf")
    made.add_argument("--gpu", help="model this GPU of MODEL's recipe in place of reading a curve")
    made.add_argument("--model", default="8b", help="recipe under build/, with --gpu (default: %(default)s)")
    made.add_argument(
        "--tokens-per-pass", type=positive, metavar="N", help="tokens a pass adds, with --gpu; 1 in autoregressive mode"
    )
    return made


def modelled(mode: str, tokens_per_pass: float | None) -> tuple[int, float]:
    """Return the tokens that a pass of a mode has of a sequence, and those it adds.

    Raises:
        CurveError: the mode is none that can be modelled, or nobody said what a pass of it adds.
    """
    if mode == "autoregressive":
        return 1, tokens_per_pass or 1.0
    if mode not in BLOCK_MODES:
        raise CurveError(f"--mode must be autoregressive, {' or '.join(BLOCK_MODES)} with --gpu, got {mode}")
    if tokens_per_pass is None:
        raise CurveError(
            f"--mode {mode} needs --tokens-per-pass: a pass has {BLOCK} tokens of a sequence, and adds fewer"
        )
    return BLOCK, tokens_per_pass


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = parser().parse_args(arguments)
    demand = Demand(given.requests, given.prompt, given.answer, given.first_ms / 1e3, given.token_ms / 1e3, given.load)
    try:
        if given.gpu:
            block, added = modelled(given.mode, given.tokens_per_pass)
            points = replica(ROOT / "build" / f"{given.model}.yaml", given.gpu).curve(demand, block, added)
            title = f"{given.mode}, modelled, not measured: {given.model} on {given.gpu}"
        else:
            title, points = curve(given.curve, given.mode, demand)
    except CurveError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    print(title)
    found = replicas(points, demand)
    if found is None:
        least = points[0]
        print(
            f"no number of replicas keeps the limits: with {least.at_once} at once the first token takes "
            f"{least.first_seconds * 1e3:.0f} ms and each token {least.token_seconds(given.answer) * 1e3:.1f} ms"
        )
        return 1
    point = found.point
    print(
        f"one replica: {point.requests_per_second:.2f} requests/s with {point.at_once} at once, first token after "
        f"{point.first_seconds * 1e3:.0f} ms, {point.token_seconds(given.answer) * 1e3:.1f} ms a token"
    )
    print(f"{given.requests:g} requests/s at {given.load:.0%} of that: replicas={found.replicas}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
