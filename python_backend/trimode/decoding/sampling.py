"""From logits to tokens: greedy choice, filters, penalties, and draws that depend only on (seed, position, pass).

A draw is a counter-based hash, so a request's tokens do not depend on what else is in the batch, and the draft and
the verification of a position share one draw. Knows nothing of sequences or engines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..api.answer import Top
from ..api.params import SamplingParams
from ..engines.log_probs import log_norms

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


GROUP = 256
"""Tokens that are looked at together when the likeliest are looked for: partitioning a large vocabulary takes 2 ms."""
NEAR = 16.0
"""How far below the largest score, divided by the temperature, a token is looked at: e**-16 times as likely as that."""
FEW = 1024
"""Tokens that top-p looks at before it sorts a whole vocabulary."""

MARGIN = 1e-6
"""How far from the edge of a share a drawn number must lie to be within it for sure; rounding moves edges by 1e-12."""


def softmax(scores: Floats) -> Floats:
    """Return the softmax over the last axis, in the dtype given."""
    shifted: Floats = scores - scores.max(axis=-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


def likeliest(logits: Floats, count: int, left_out: int) -> list[Top]:
    """Return the `count` likeliest tokens of each row and their log-probabilities, without the token `left_out`.

    Args:
        logits: (R, V); `left_out` counts among the probabilities all the same. Equals come in the order of their ids.
    """
    rows, size = logits.shape
    count = min(count, size - 1)
    scores = np.full((rows, -(-size // GROUP), GROUP), -np.inf, dtype=np.float32)
    flat = scores.reshape(rows, -1)  # the same memory
    flat[:, :size] = logits
    flat[:, left_out] = -np.inf
    # The likeliest tokens are among those groups whose best ones are the best.
    groups = _best(scores.max(axis=-1), min(count, scores.shape[1]))
    inside = (groups[:, :, None] * GROUP + np.arange(GROUP)).reshape(rows, -1)
    found = _best(np.take_along_axis(flat, inside, axis=-1), count)
    ids = np.take_along_axis(inside, found, axis=-1)
    order = np.argsort(-np.take_along_axis(flat, ids, axis=-1), axis=-1, kind="stable")
    ids = np.take_along_axis(ids, order, axis=-1)
    values = np.take_along_axis(logits, ids, axis=-1) - log_norms(logits)[:, None]
    return list(zip(ids.tolist(), values.tolist(), strict=True))


def _best(scores: Floats, count: int) -> Ints:
    """Return where the `count` highest scores of each row are, from the left: (R, N) -> (R, count)."""
    return np.sort(np.argpartition(-scores, count - 1, axis=-1)[:, :count], axis=-1)


def uniforms(seed: int, positions: Ints, stream: int) -> npt.NDArray[np.float64]:
    """Return one number in [0, 1) per position: splitmix64 (Steele, Lea and Flood 2014) of seed, stream, position."""
    with np.errstate(over="ignore"):
        state = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(stream) * np.uint64(0xD1B54A32D192ED03)
        mixed = positions.astype(np.uint64) * np.uint64(0xA0761D6478BD642F) + state
        for _ in range(2):
            mixed = mixed + np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def keep_top_k(scores: Floats, k: int) -> Floats:
    """Set all but the k highest scores of each row to -inf; ties with the k-th stay."""
    if k == 0 or k >= scores.shape[-1]:
        return scores
    kth = np.partition(scores, -k, axis=-1)[:, -k, None]  # (R, 1)
    return np.where(scores < kth, -np.inf, scores).astype(np.float32)


def keep_top_p(scores: Floats, p: float) -> Floats:
    """Keep the smallest set of most likely tokens whose probability reaches p; the most likely always stays."""
    if p >= 1.0:
        return scores
    probs = softmax(scores)  # (R, V)
    order = _likeliest_first(probs, p)  # (R, up to V)
    ranked = np.take_along_axis(probs, order, axis=-1)
    keep_ranked = np.cumsum(ranked, axis=-1, dtype=np.float64) - ranked < p
    keep_ranked[:, 0] = True
    keep = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(keep, order, keep_ranked, axis=-1)
    return np.where(keep, scores, -np.inf).astype(np.float32)


def _likeliest_first(probs: Floats, p: float) -> Ints:
    """Return each row's tokens, the most likely first; only as many as surely hold probability p, if those are few."""
    if probs.shape[-1] > FEW:
        few = np.argpartition(-probs, FEW, axis=-1)[:, :FEW]
        few.sort(axis=-1)  # so that ties keep the order of their ids
        inside = np.take_along_axis(probs, few, axis=-1)
        if (inside.sum(axis=-1, dtype=np.float64) >= p).all():
            ranks = np.argsort(-inside, axis=-1, kind="stable")
            return np.take_along_axis(few, ranks, axis=-1)
    return np.argsort(-probs, axis=-1, kind="stable")


def keep_min_p(scores: Floats, p: float) -> Floats:
    """Drop tokens whose probability is below p times that of the most likely one."""
    if p == 0.0:
        return scores
    floor = scores.max(axis=-1, keepdims=True) + np.float32(np.log(p))
    return np.where(scores < floor, -np.inf, scores).astype(np.float32)


def draw(scores: Floats, u: npt.NDArray[np.float64]) -> Ints:
    """Draw one token per row by inverting the cumulative distribution at u: scores (R, V), u (R,) -> (R,).

    Weights are added group by group first, then inside the one group that u points to: adding up a large vocabulary
    token by token takes longer than all the rest.
    """
    rows, size = scores.shape
    groups = -(-size // GROUP)
    weights = np.zeros((rows, groups * GROUP), dtype=np.float32)
    np.exp(scores - scores.max(axis=-1, keepdims=True), out=weights[:, :size])
    grouped = weights.reshape(rows, groups, GROUP)
    ends = np.cumsum(grouped.sum(axis=-1, dtype=np.float64), axis=-1)  # (R, groups)
    total = ends[:, -1:]
    point = np.minimum(u[:, None] * total, np.nextafter(total, 0))  # (R, 1); rounding may reach the very end
    group = (ends <= point).sum(axis=-1)
    here = np.arange(rows)
    rest = point[:, 0] - np.where(group > 0, ends[here, group - 1], 0.0)
    inside = grouped[here, group]  # (R, GROUP)
    picked = (np.cumsum(inside, axis=-1, dtype=np.float64) <= rest[:, None]).sum(axis=-1)  # never one of weight 0
    last = GROUP - 1 - (inside[:, ::-1] > 0).argmax(axis=-1)  # where rounding reaches the group's end
    found: Ints = group * GROUP + np.minimum(picked, last)
    return found


def penalise(logits: Floats, params: SamplingParams, prompt: Sequence[int], output: Sequence[int]) -> Floats:
    """Return a copy of `logits` (R, V) with the penalties for tokens seen.

    Repetition divides positive and multiplies negative scores of every token of prompt and output (Keskar et al.
    2019); presence and frequency are taken off the output's tokens (OpenAI API).
    """
    scores = logits.copy()
    if params.repetition_penalty != 1.0:
        seen = np.unique(np.asarray([*prompt, *output], dtype=np.int64))
        before = scores[:, seen]
        factor = np.float32(params.repetition_penalty)
        scores[:, seen] = np.where(before > 0, before / factor, before * factor)
    if (params.presence_penalty or params.frequency_penalty) and output:
        counts = Counter(output)
        ids = np.fromiter(counts.keys(), dtype=np.int64)
        times = np.fromiter(counts.values(), dtype=np.float32)
        scores[:, ids] -= np.float32(params.presence_penalty) + np.float32(params.frequency_penalty) * times
    return scores


def sample(scores: Floats, params: SamplingParams, positions: Ints, stream: int) -> Ints:
    """Draw a token per row of `scores` (R, V): temperature, then top-k, top-p, min-p; greedy at temperature 0."""
    if params.greedy:
        return np.asarray(scores.argmax(axis=-1), dtype=np.int64)
    top = scores.max(axis=-1, keepdims=True)  # taken off first: a tiny temperature must not overflow
    scaled = (scores - top) / np.float32(max(params.temperature, 1e-6))
    points = uniforms(params.seed, positions, stream)
    if not filters(params):
        return draw(scaled, points)
    rows = zip(scaled, points, strict=True)
    return np.array([_draw_from_few(row, params, point) for row, point in rows], dtype=np.int64)


def sure(scores: Floats, params: SamplingParams, position: int, stream: int) -> int | None:
    """Return the likeliest token of `scores` (V,) if `sample` returns it whichever of the others may not be chosen.

    None where that depends on them. Without all others nothing lies before it, with all of them its share is smallest:
    where the drawn number is within its share in both cases, filters and masks that leave it change nothing.
    """
    likeliest = int(scores.argmax())
    if params.greedy:
        return likeliest
    weights = np.exp((scores - scores[likeliest]) / np.float32(max(params.temperature, 1e-6)))
    before = weights[:likeliest].sum(dtype=np.float64)
    total = weights.sum(dtype=np.float64)
    point = uniforms(params.seed, np.array([position]), stream)[0]
    return likeliest if before + MARGIN < point < 1 / total - MARGIN else None


def filters(params: SamplingParams) -> bool:
    """Whether a request draws from some of the tokens alone."""
    return params.top_k > 0 or params.top_p < 1.0 or params.min_p > 0.0


def _draw_from_few(scaled: Floats, params: SamplingParams, point: float) -> int:
    """Draw from one row (V,) whose largest score is 0: filters look at the likely tokens, if these surely decide."""
    ids, top_p = _likely(scaled, params)
    few = scaled[None] if ids is None else scaled[None, ids]  # (1, tokens)
    kept = keep_min_p(keep_top_p(keep_top_k(few, params.top_k), top_p), params.min_p)
    left = np.flatnonzero(kept[0] > -np.inf)
    picked = left[draw(kept[:, left], np.array([point]))[0]]
    return int(picked if ids is None else ids[picked])


def _likely(scaled: Floats, params: SamplingParams) -> tuple[Ints | None, float]:
    """Return the tokens among which all are that the filters keep, and top-p as a share of these; None means all."""
    near = np.flatnonzero(scaled > -NEAR)
    if params.top_k > 0:
        return (near, params.top_p) if len(near) >= params.top_k else (None, params.top_p)
    if params.top_p < 1.0:
        share = float(np.exp(scaled[near]).sum(dtype=np.float64) / np.exp(scaled).sum(dtype=np.float64))
        return (near, params.top_p / share) if params.top_p < share else (None, params.top_p)
    return (near, 1.0) if np.log(params.min_p) > -NEAR else (None, 1.0)
