"""What the guides say of passes, of int8, of a target that was dropped and of auto's choices, in words."""

from __future__ import annotations

from ...common.markdown import table
from .. import Data, Found
from ..auto.report import BEST, shares_by_domain
from ..speculation.auto_replay import LEAST, best
from ..speculation.bench import LOADS
from ..speculation.part import CPU, curve, shown
from ..timeline import MOST_AROUND, MOST_ONCE, SERIAL, Shares

LOOP, TRITON = 1.05, 1.0
"""A target for the loop that was dropped; milliseconds that Triton may add."""


def times_one(cost: Data, tokens: int) -> float:
    """Return what a pass over so many tokens takes, in passes over one."""
    return next(float(row["times_one"]["median"]) for row in cost["rows"] if row["tokens"] == tokens)


def cost(found: Found) -> str:
    """Say what longer passes cost."""
    block, short = (times_one(found["cost"], tokens) for tokens in (32, 8))
    return f"""What a pass costs depends on the machine: on the measured CPU a pass over 32 tokens takes {block:.2f}
times as long as a pass over one, over 8 tokens {short:.2f} times ([perf/RESULTS.md](../../perf/RESULTS.md)).
Diffusion is faster than autoregressive decoding where its tokens per forward exceed that ratio."""


def int8(found: Found) -> str:
    """Say what int8 gains, and how often its text is another."""
    data = found["int8"]
    right = [f"{100 * data['correct'][name]:.0f}%" for name in ("int8", "float32")]
    return f"""On the measured CPU an autoregressive token takes {1 / data["speed_per_token"]:.2f} of float32's time.
int8 may choose the other token at a near tie. Over {data["answers"]} held-out prompts of all domains, claimed or not,
it departed from float32 {data["float32"]["per_1000_tokens"]:.2f} times in 1000 tokens, and its self-speculation from
its own autoregressive text {data["speculation"]["per_1000_tokens"]:.2f} times. Of those with one right answer
{right[0]} were right in int8, {right[1]} in float32."""


def dropped(found: Found) -> str:
    """Work out, from the stages of an answer, what the newer targets allow the loop, and what an older one would."""
    modes = found["timeline"]["modes"]
    serial, auto = (Shares.of(modes, mode) for mode in (SERIAL, "auto"))
    one, many = serial.mean / 1000, auto.mean * modes["auto"]["passes"] / 1000
    most = MOST_AROUND["auto"]
    once, around = MOST_ONCE * one, most * many
    loop, triton = (many + once + around) / many, (many + once + around + TRITON) / many
    count = modes[SERIAL]["passes"]
    alone = 1 + MOST_AROUND[SERIAL] + MOST_ONCE / count
    left, taken = (LOOP - 1) * many, auto.once / 1000
    rest = (
        "more than that: nothing is left for the passes"
        if taken >= left
        else f"so {(left - taken) / modes['auto']['passes']:.2f} ms are left for each pass"
    )
    sum_once = f"({many:.1f} + {once:.1f} + {around:.1f}) / {many:.1f}"
    sum_triton = f"({many:.1f} + {once:.1f} + {around:.1f} + {TRITON:.1f}) / {many:.1f}"
    return f"""Take an answer of nano in auto, {modes["auto"]["passes"]:.0f} passes that take {many:.1f} ms together:

```text
once an answer, at most a one-token pass      {once:.1f} ms
around each pass, at most {most:.2f} of it          {around:.1f} ms       {most:.2f} * {many:.1f}
the loop                                      {loop:.2f}         {sum_once}
Triton over gRPC, at most 1 ms more           {triton:.2f}         {sum_triton}
```

So a loop that meets each new target takes {loop:.2f} times the passes, and the answer's length and the model's size
decide how far this is from 1. For an autoregressive answer of {count:.0f} passes it is {alone:.2f}. A target of
{LOOP} would leave {left:.1f} ms, and the checks, the prompt and the wake-ups take {taken:.1f}, {rest}. The new targets
are set against one pass, so they say the same of short and of long answers."""


def replay(found: Found) -> str:
    """Return auto's share of the best fixed choice by load on each device, and where the target is missed."""
    data = found["auto_replay"]
    devices = sorted(data["loads"], key=lambda name: name != CPU)
    rows = [[shown(name), *(f"{best(data['loads'][name][str(load)])[1]:.2f}" for load in LOADS)] for name in devices]
    kinds = {"loads": data["loads"], "loads while all places are taken": data["full"], "domains": data["domains"]}
    said = []
    for kind, by_device in kinds.items():
        for name in devices:
            shares = {cell: best(taken)[1] for cell, taken in by_device[name].items()}
            under = [cell for cell, share in shares.items() if share < LEAST]
            if under:
                worst = min(under, key=shares.__getitem__)
                said.append(
                    f"{shown(name)} in {len(under)} of {len(shares)} {kind}, least at {worst}: {shares[worst]:.1%}"
                )
    missed = f"It is missed on {'; on '.join(said)}." if said else "It is met everywhere."
    return f"""*one thread* is {curve(found["speculation"]["pass_seconds"])}

Auto's speed against the best fixed choice in hindsight, for {data["answers"]} answers that all wait at the start:

{table(("at once", *map(str, LOADS)), rows)}

The target is {LEAST:.0%} at each load, at each load while all places are taken, and in each domain one request at a
time. {missed}"""


def live(found: Found) -> str:
    """Say what auto reaches by domain on the machine, and why the replay gives more."""
    shares = {name: share for name, (_, share) in shares_by_domain(found["domains"]).items()}
    low, high = (choose(shares, key=shares.__getitem__) for choose in (min, max))
    enough = sum(share >= BEST for share in shares.values())
    replayed = [best(taken)[1] for taken in found["auto_replay"]["domains"][CPU].values()]
    auto, seconds = found["timeline"]["modes"]["auto"], found["speculation"]["pass_seconds"]
    return f"""Timed on the real engine, one request at a time, auto has {shares[low]:.2f} ({low}) to {shares[high]:.2f}
({high}) of the best fixed choice's speed by domain, and at least {BEST} in {enough} of {len(shares)}. The replay below,
with the costs of one thread, gives {min(replayed):.2f} to {max(replayed):.2f}. Three things differ. A domain has
{found["domains"]["prompts"] / len(shares):.0f} answers live and ten in the replay. Choosing takes
{auto["choose"] / 1000:.1f} ms of an answer of {auto["total"] / 1000:.1f} ms, which the replay does not charge. And a
pass over 32 tokens takes {times_one(found["cost"], 32):.2f} one-token passes live,
{seconds["32"] / seconds["1"]:.2f} in the replay."""
