"""Samples of peers and of our runtime as a table: every ratio pairs samples of the same prompt and round."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..common.markdown import spread, table
from ..common.statistics import Spread, paired
from .peer import PEERS

OURS = "this runtime"
OURS_INT8 = "this runtime, int8"
OURS_INT4 = "this runtime, int4"
WIDTHS = {"float32": OURS, "int8": OURS_INT8, "int4": OURS_INT4}
"""Ours by the precision that a peer is set against."""
AUTO = "auto"
SPECULATING = "self_speculation"
SERIAL = "autoregressive"
Key = tuple[int, int]  # round, prompt
TITLES = (
    *("peer", "mode", "ms per answer", "times ours", "times our self-speculation", "times our auto"),
    *("times its products alone", "tokens per forward", "same ids"),
)


@dataclass(frozen=True)
class Sample:
    """One answer of one peer, or ours: seconds, tokens, passes after the prefill, seconds of its products alone."""

    round: int
    prompt: int
    peer: str
    mode: str
    seconds: float
    ids: tuple[int, ...]
    forwards: int
    products_seconds: float | None = None


def rows(samples: Iterable[Sample], abouts: Mapping[str, str], failures: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a row for each peer and mode, ours first, and one with `error` for each peer that failed."""
    taken: defaultdict[tuple[str, str], dict[Key, Sample]] = defaultdict(dict)
    for sample in samples:
        taken[sample.peer, sample.mode][sample.round, sample.prompt] = sample
    made = [
        {"peer": peer, "about": abouts.get(peer, ""), "mode": mode, **_figures(own), **_against(peer, mode, taken)}
        for (peer, mode), own in sorted(taken.items(), key=lambda item: (not item[0][0].startswith(OURS), item[0]))
        if peer not in failures
    ]
    return made + [{"peer": peer, "error": error} for peer, error in sorted(failures.items())]


def equal_width(peer: str) -> str:
    """Return which of ours a peer is set against: that in int8 or int4 where its weights are as narrow."""
    return WIDTHS[PEERS[peer].precision] if peer in PEERS else OURS


def _figures(own: Mapping[Key, Sample]) -> dict[str, Any]:
    answers = own.values()
    return {
        "milliseconds": asdict(Spread.of([1000 * sample.seconds for sample in answers])),
        "tokens_per_second": asdict(Spread.of([len(sample.ids) / sample.seconds for sample in answers])),
        "tokens_per_forward": sum(len(s.ids) for s in answers) / max(1, sum(s.forwards for s in answers)),
    }


def _against(peer: str, mode: str, taken: Mapping[tuple[str, str], Mapping[Key, Sample]]) -> dict[str, Any]:
    """Return a peer's seconds over ours in the same mode, and in those of ours that give the same text.

    Nothing of ours, and nothing where ours of equal width was not asked.
    """
    against = equal_width(peer)
    if peer.startswith(OURS) or (against, mode) not in taken:
        return {}
    own, ours = taken[peer, mode], taken[against, mode]
    found: dict[str, Any] = {"times_ours": _paired(own, ours), "same_ids": _same(own, ours)}
    products = [(sample.seconds, sample.products_seconds) for sample in own.values() if sample.products_seconds]
    if products:
        found["times_products"] = asdict(Spread.of([whole / part for whole, part in products]))
    for other in (SPECULATING, AUTO):
        if mode == SERIAL and (against, other) in taken:
            found[f"times_our_{other}"] = _paired(own, taken[against, other])
    return found


def _paired(own: Mapping[Key, Sample], ours: Mapping[Key, Sample]) -> dict[str, float]:
    return asdict(paired(*({key: sample.seconds for key, sample in one.items()} for one in (own, ours))))


def _same(own: Mapping[Key, Sample], ours: Mapping[Key, Sample]) -> float:
    """Return the share of prompts that gave our tokens in every round."""
    prompts = {prompt for _, prompt in own}
    differing = {key[1] for key, sample in own.items() if sample.ids != ours[key].ids}
    return 1 - len(differing) / len(prompts)


def text(results: dict[str, Any]) -> str:
    """Return the table and what a reader must know to read it."""
    facts = results["hardware"]
    narrow = "."  # of records from before ours had four bits
    if any(row["peer"] == OURS_INT4 for row in results["rows"]):
        narrow = ", with 4 bits against\nours in int4."
    said = [table(TITLES, [_cells(row) for row in results["rows"] if "error" not in row])]
    said += [f"\n{row['peer']} failed: {row['error']}" for row in results["rows"] if "error" in row]
    said += [
        "",
        f"{results['prompts']} prompts of {facts['model']}, at most {results['max_tokens']} tokens each;",
        f"greedy; ours in {facts['precision']} as it is served, the peers in float32 by their defaults where no type",
        f"is named; threads of each: {results['threads']};",
        f"{results['rounds']} rounds in shuffled order after a warm-up.",
        "Times pair samples of one prompt and round,",
        "above 1 the peer is slower; medians with quartiles. A peer with weights of at most 8 bits is set against ours",
        f"in int8, its ids too{narrow} Its products alone are the products of weights that its",
        "answer took, done again with nothing between: a runtime whose products are no faster can be at most that many",
        "times as fast as the peer.",
        f"{facts['processor']}; load average at the start {facts['load_average']}.",
    ]
    return "\n".join(said)


def _cells(row: dict[str, Any]) -> Sequence[str]:
    names = ("times_ours", f"times_our_{SPECULATING}", f"times_our_{AUTO}", "times_products")
    ratios = (row.get(name) for name in names)
    return (
        row["about"] or row["peer"],
        row["mode"],
        spread(row["milliseconds"], 1),
        *("" if ratio is None else spread(ratio) for ratio in ratios),
        f"{row['tokens_per_forward']:.2f}",
        f"{row['same_ids']:.0%}" if "same_ids" in row else "",
    )
