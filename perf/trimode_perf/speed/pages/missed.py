"""Why targets are missed: each line with the bound that arithmetic gives, and what would change it.

A line whose target is met is left out. Knows other parts' results and bounds, and no text but its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...common.markdown import table
from ...peers import grid
from .. import Data, Found
from ..causal.drafts import AUTO_AT_LEAST
from ..domains import DIFFUSION, SPECULATION
from ..peers import AUTO, HELD
from ..speculation.auto_replay import LEAST, best
from ..speculation.part import FLAT_SECONDS
from ..timeline import Shares
from .figures import times_one

READS = (
    *("auto_replay", "bench", "cost", "decoding", "peers"),
    *("smol-drafts", "smol-peers", "timeline"),
)
TITLES = ("target missed", "bound by arithmetic", "what would change it")
OURS, OURS_INT8, F32, Q8 = "this runtime", "this runtime, int8", "llama.cpp F32", "llama.cpp Q8_0"
Line = tuple[str, str, str]


def text(found: Found) -> str:
    """Return the table."""
    made = (_modes, _auto_float32, _auto_int8, _smol_answers, _one_token, _block, _replayed, _smol_auto)
    lines = [line for make in made for line in _lines(make, found)]
    return table(TITLES, lines, TITLES) if lines else "Nothing that stands here is missed."


class NotTimedError(LookupError):
    """What a line needs was not timed, as where a peer failed."""


def _lines(make: Callable[[Found], Iterator[Line]], found: Found) -> list[Line]:
    """Return the lines that a maker gives; none where it lacks what was not timed."""
    try:
        return list(make(found))
    except NotTimedError:
        return []


def _first(rows: list[Data], **wanted: object) -> Data:
    for row in rows:
        if all(row.get(name) == value for name, value in wanted.items()):
            return row
    raise NotTimedError(f"no row has {wanted}")


def _of(peers: Data, peer: str, mode: str) -> Data:
    """Return the row of a peer in a mode."""
    return _first(peers["rows"], peer=peer, mode=mode)


def _times(row: Data, name: str) -> float:
    """Return the median of a ratio of a peer's row."""
    if name not in row:
        raise NotTimedError(f"{row['peer']} has no {name}")
    return float(row[name]["median"])


def _pass(peers: Data, engine: str, tokens: int) -> float:
    """Return the milliseconds of a pass."""
    return float(_row(peers, engine, tokens)["milliseconds"]["median"])


def _row(peers: Data, engine: str, tokens: int) -> Data:
    return _first(peers["grid"]["rows"], engine=engine, tokens=tokens)


def _modes(found: Found) -> Iterator[Line]:
    """A block's cost against the tokens that it gives."""
    speed = {
        mode: layers["engine"]["per_token"]["median"]
        for mode, layers in found["bench"]["summary"]["speed_against_autoregressive"].items()
    }
    block = times_one(found["cost"], 32)
    drafted = max(speed["self_speculation"], speed["auto"])
    for name, mode, times, least in (
        ("self-speculation or auto", "self_speculation", drafted, SPECULATION),
        ("diffusion", "diffusion", speed["diffusion"], DIFFUSION),
    ):
        if times < least:
            tokens = found["decoding"]["all"][mode]["tokens_per_forward"]
            yield (
                f"{name} {least:g} times as fast as autoregressive: {times:.2f}",
                f"a block takes {block:.1f} one-token passes and gives {tokens:.1f} tokens a pass: at most "
                f"{tokens / block:.1f} times, before the loop",
                "a device on which a block costs fewer one-token passes, as on a GPU; longer answers, whose last "
                "block is a smaller part",
            )


def _auto_float32(found: Found) -> Iterator[Line]:
    """auto against llama.cpp: what auto gains, times what one answer token by token takes."""
    peers = found["peers"]
    row = _of(peers, F32, "autoregressive")
    times, serial = _times(row, "times_our_auto"), _times(row, "times_ours")
    if times < AUTO[F32]:
        tokens, block = _of(peers, OURS, "auto")["tokens_per_forward"], times_one(found["cost"], 32)
        yield (
            f"llama.cpp F32 takes {AUTO[F32]:g} times as long as auto: {times:.2f}",
            f"it takes {serial:.2f} times our autoregressive answer, so auto has to be {AUTO[F32] / serial:.2f} times "
            f"as fast as that. It gives {tokens:.1f} tokens a pass, and a block takes {block:.1f} one-token passes: "
            f"{tokens / block:.1f} times, before the loop, where all passes are over blocks of 32",
            "a cheaper block, or more right tokens in a draft",
        )


def _auto_int8(found: Found) -> Iterator[Line]:
    """The same in 8 bits, where passes are so short that the loop counts most."""
    peers, modes = found["peers"], found["timeline"]["modes"]
    times, ours = _times(_of(peers, Q8, "autoregressive"), "times_our_auto"), _of(peers, OURS_INT8, "auto")
    if times < AUTO[Q8]:
        shares, taken = Shares.of(modes, "auto"), ours["milliseconds"]["median"]
        loop = (shares.once + shares.around * modes["auto"]["passes"]) / 1000
        yield (
            f"llama.cpp Q8_0 takes {AUTO[Q8]:g} times as long as auto in int8: {times:.2f}",
            f"an answer of auto in int8 takes {taken:.1f} ms. What is spent beside its passes, {loop:.1f} ms in the "
            f"timeline, does not shrink with the weights. {times / AUTO[Q8]:.0%} of {taken:.1f} ms would do: "
            f"{taken * (1 - times / AUTO[Q8]):.1f} ms less",
            "less work between passes, or a larger model, whose passes are a larger part",
        )


def _smol_answers(found: Found) -> Iterator[Line]:
    """Whole answers are one-token passes."""
    peers = found["smol-peers"]
    for peer, ours in ((F32, OURS), (Q8, OURS_INT8)):
        times = _times(_of(peers, peer, "autoregressive"), "times_ours")
        if times < HELD[peer]:
            one = _row(peers, peer, 1)["ours_over_it"]["median"]
            yield (
                f"SmolLM2, whole answers: {peer} takes {HELD[peer]:g} times as long as ours of equal width, "
                f"autoregressive: {times:.2f}",
                f"an answer is one-token passes, and one takes {_pass(peers, ours, 1):.1f} ms, {one:.2f} times "
                f"llama.cpp's: so {1 / one:.2f} is what long answers come to",
                "products of one row as fast as llama.cpp's; ONNX Runtime's gain is at 8 tokens and more",
            )


def _one_token(found: Found) -> Iterator[Line]:
    """What a pass takes whatever its tokens."""
    peers, most = found["peers"], grid.MOST[1]
    times = _row(peers, Q8, 1)["ours_over_it"]["median"]
    if times > most:
        ours, theirs = ((_pass(peers, name, 1), _pass(peers, name, 32)) for name in (OURS_INT8, Q8))
        fixed = [one - (many - one) / 31 for one, many in (ours, theirs)]
        yield (
            f"nano in int8, a pass over one token takes {most:g} of llama.cpp Q8_0's: {times:.2f}",
            f"1 and 32 tokens take {ours[0]:.2f} and {ours[1]:.2f} ms here, {theirs[0]:.2f} and {theirs[1]:.2f} there. "
            f"So {fixed[0]:.2f} ms are spent whatever the number of tokens, against {fixed[1]:.2f}",
            "fewer operators in the graph; in a larger model they are a smaller part",
        )


def _block(found: Found) -> Iterator[Line]:
    """A block against llama.cpp's."""
    peers, most = found["peers"], grid.MOST[32]
    against = _row(peers, F32, 32)["ours_over_it"]
    if against["median"] > most:
        ours, theirs = _pass(peers, OURS, 32), _pass(peers, F32, 32)
        within = ", so the difference is within the noise" if against["low"] <= most else ""
        yield (
            f"nano, a pass over 32 tokens takes {most:g} of llama.cpp F32's: {against['median']:.2f}",
            f"{ours:.2f} ms would have to be {ours * most / against['median']:.2f} beside llama.cpp's {theirs:.2f}. "
            f"The quartiles of the ratio are {against['low']:.2f} and {against['high']:.2f}{within}",
            "faster float32 products; a quieter machine would show whether it is missed",
        )


def _replayed(found: Found) -> Iterator[Line]:
    """A domain of ten answers has few passes."""
    taken = found["auto_replay"]["domains"]["flat"]
    shares = {name: best(one)[1] for name, one in taken.items()}
    worst = min(shares, key=shares.__getitem__)
    if shares[worst] < LEAST:
        fewest, passes = (taken[worst][name] / FLAT_SECONDS for name in (best(taken[worst])[0], "auto"))
        under = sum(share < LEAST for share in shares.values())
        yield (
            f"replayed on flat, {LEAST:.0%} of the best fixed choice in each domain: {shares[worst]:.1%} in {worst}, "
            f"less than {LEAST:.0%} in {under} of {len(shares)}",
            f"the best choice, which nobody knows beforehand, takes {fewest:.0f} passes for the domain's ten answers "
            f"and auto {passes:.0f}: one pass more is {1 / fewest:.1%}",
            "more answers of a domain, from which auto would know its drafts better",
        )


def _smol_auto(found: Found) -> Iterator[Line]:
    """What a pass over few tokens costs in int8 against what it gives."""
    row = found["smol-drafts"]["precisions"].get("int8", {"all": {}})["all"].get("auto")
    times = row["speed"]["median"] if row else AUTO_AT_LEAST
    if row and times < AUTO_AT_LEAST:
        peers = found["smol-peers"]
        one, four, eight = (_pass(peers, OURS_INT8, tokens) for tokens in (1, 4, 8))
        ways = found["smol-drafts"]["precisions"]["int8"]["all"]
        tokens = ways["quadratic 2"]["tokens_per_forward"]
        yield (
            f"SmolLM2 in int8, auto {AUTO_AT_LEAST:g} times as fast as autoregressive: {times:.2f}",
            f"quadratic drafts of 2 give {tokens:.2f} tokens a pass. Such a pass has 6 tokens; 4 take "
            f"{four / one:.2f} and 8 take {eight / one:.2f} one-token passes. So {tokens * one / eight:.2f} to "
            f"{tokens * one / four:.2f} times, before the loop",
            "an adapter whose drafts are right more often; a device on which few tokens cost as much as one",
        )
