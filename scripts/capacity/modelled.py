"""A replica's curve on a GPU, modelled: a pass takes as long as its bytes or its operations do, whichever is longer.

Weights and cache are the recipe's, exact for its model; ceilings are the vendor's; the shares of them that are reached
are assumptions. Nothing here was measured on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trimode.errors import CheckpointError
from trimode_convert.recipe import load_recipe

from .demand import Demand, Point
from .measured import CurveError

REACHED_BANDWIDTH = 0.7  # of the memory's bandwidth: an assumption
REACHED_ARITHMETIC = 0.6  # of dense arithmetic: an assumption
BYTES = {"bfloat16": 2.0, "float16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5, "nvfp4": 0.5}  # of a weight


class Ceilings(NamedTuple):
    """Bytes a second of the memory, and dense operations a second in 16 bits and in 8, by the vendor's data sheets."""

    bandwidth: float
    in_16_bits: float
    in_8_bits: float


CEILINGS = {
    "H100-80G": Ceilings(3.35e12, 989e12, 1979e12),
    "H200": Ceilings(4.8e12, 989e12, 1979e12),
    "L40S-48G": Ceilings(864e9, 362e12, 733e12),
    "RTX4090-24G": Ceilings(1008e9, 165e12, 330e12),
}


@dataclass(frozen=True)
class Replica:
    """A model on a GPU.

    `weights` and `token_bytes` (keys and values of a token) are bytes; `capacity` is tokens of a sequence, `slots`
    sequences at once; `parameters` are those of the recipe's entry that gives the fewest, since beside weights of
    8 bits some have 16 and would count twice; `bandwidth` and `arithmetic` are what the GPU reaches, a second.
    """

    weights: float
    token_bytes: float
    parameters: float
    slots: int
    capacity: int
    bandwidth: float
    arithmetic: float

    def pass_seconds(self, rows: int, tokens: int, context: float) -> float:
        """Return the time of a pass over `rows` sequences with `tokens` each, after `context` tokens each."""
        read = (self.weights + rows * context * self.token_bytes) / self.bandwidth
        return max(read, 2 * self.parameters * rows * tokens / self.arithmetic)

    def curve(self, demand: Demand, pass_tokens: int, tokens_per_pass: float) -> list[Point]:
        """Return its points for 1 to `slots` requests at once.

        Args:
            demand: the load, whose tokens are used.
            pass_tokens: tokens of a sequence in a pass, 1 or a block.
            tokens_per_pass: tokens that a pass adds to an answer, on average.

        Raises:
            CurveError: a request is longer than the capacity.
        """
        if (longest := demand.prompt_tokens + demand.answer_tokens) > self.capacity:
            raise CurveError(f"a sequence has at most {self.capacity} tokens in this recipe, got {longest}")
        prefill = self.pass_seconds(1, demand.prompt_tokens, 0)
        context = demand.prompt_tokens + demand.answer_tokens / 2
        points = []
        for rows in range(1, self.slots + 1):
            one = self.pass_seconds(rows, pass_tokens, context)
            work = demand.answer_tokens / tokens_per_pass * one / rows + prefill  # seconds of the GPU for a request
            points.append(Point(rows, prefill + one, 1 / work))
        return points


def replica(recipe: Path, gpu: str) -> Replica:
    """Read a recipe of build/ for a GPU.

    Raises:
        CurveError: there is no such recipe, or it does not have the GPU.
    """
    try:
        table = load_recipe(recipe)["tensorrt"]
    except CheckpointError as exc:
        raise CurveError(str(exc)) from exc
    if gpu not in table or gpu not in CEILINGS:
        raise CurveError(f"{recipe} names {', '.join(table) or 'no GPU'}, got {gpu}")
    entry, ceilings = table[gpu], CEILINGS[gpu]
    size = BYTES[entry["precision"]]
    weights = entry["weights_gb"] * 1e9
    return Replica(
        weights=weights,
        token_bytes=entry["kv_gb_per_slot"] * 1e9 / entry["capacity"],
        parameters=min(one["weights_gb"] * 1e9 / BYTES[one["precision"]] for one in table.values()),
        slots=entry["batch"],
        capacity=entry["capacity"],
        bandwidth=ceilings.bandwidth * REACHED_BANDWIDTH,
        arithmetic=(ceilings.in_8_bits if size == 1 else ceilings.in_16_bits) * REACHED_ARITHMETIC,
    )
