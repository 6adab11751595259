"""Auto against fixed choices on recorded drafts of an adapter: no model, no noise; passes cost what `peers` measured.

The drafts are smol's in float32 on prompts that its adapter's training held out (`record-drafts`). Costs are those of
passes in float32 and int8 on the machine that timed them. Knows how shares are shown, not how a
replay is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...common.claims import Claim
from ...common.markdown import table
from ...common.results import read
from .. import Context, Data, Found, Part
from ..speculation.bench import Found as Replays
from ..speculation.bench import halves, run
from ..speculation.part import costs_of
from ..speculation.recording import Recording
from ..speculation.replay import Seconds

RECORDED = Path(__file__).with_name("recorded.json")
MODEL = "smol"
"""Whose drafts these are; nothing is replayed of another model."""
SPECULATION = "self_speculation"
BASELINE = "autoregressive"
FIXED: dict[str, dict[str, Any]] = {
    BASELINE: {"mode": BASELINE},
    **{f"linear {length}": {"mode": SPECULATION, "block_length": length} for length in (4, 8, 16)},
    **{
        f"quadratic {length}": {"mode": SPECULATION, "speculation": "quadratic", "block_length": length}
        for length in (2, 3, 4)
    },
}
"""What a request can fix, each with the same text."""
LOADS = (1, 4, 16)
"""Requests at once."""
MET = 3
"""Prompts of a kind that auto has met before those that count, of six."""
ENGINES = {"float32": "this runtime", "int8": "this runtime, int8"}
"""The rows of `peers` that have what passes cost, by precision."""
LEAST_KIND, LEAST = 1.0, 0.97
"""Least share of the speed of autoregressive decoding in a kind of prompts, and of the best fixed choice at a load."""


def costs(peers: Data) -> dict[str, Seconds]:
    """Return what a pass takes by its tokens, by precision, from what `peers` measured; beyond that, a token's share.

    Between two sizes it is linear in logarithms.
    """
    return {
        precision: costs_of({row["tokens"]: row["milliseconds"]["median"] / 1000 for row in rows})
        for precision, engine in ENGINES.items()
        if (rows := [row for row in peers["grid"]["rows"] if row["engine"] == engine])
    }


def measure(context: Context) -> dict[str, Data]:
    """Replay all choices at all loads; nothing of another model, or where its passes were not timed yet."""
    path = context.results / f"{MODEL}-peers.json"
    if context.options.model != MODEL or not path.is_file():
        return {}
    recording = Recording.load(RECORDED)
    found = run(recording, costs(read(path)), context.progress, loads=LOADS, fixed=FIXED, met_first=MET)
    met, counted = halves(recording, MET)
    return {"replayed": {"met": len(met), "answers": len(counted), **_data(found)}}


def _data(found: Replays) -> Data:
    loads = {device: {str(load): one for load, one in by.items()} for device, by in found.loads.items()}
    return {"loads": loads, "kinds": found.domains}


def best(taken: dict[str, float]) -> tuple[str, float]:
    """Return the fixed choice that took least, and auto's speed against it."""
    name = min(FIXED, key=taken.__getitem__)
    return name, taken[name] / taken["auto"]


def section(found: Found) -> str:
    """Return auto's shares by load and by kind, in each precision."""
    data = found["replayed"]
    names = list(data["loads"])
    by_load = [[load, *(_cell(data["loads"][name][str(load)]) for name in names)] for load in LOADS]
    kinds = data["kinds"]
    by_kind = [
        [kind, *(cell for name in names for cell in (_cell(kinds[name][kind]), _single(kinds[name][kind])))]
        for kind in sorted(kinds[names[0]])
    ]
    titles = [title for name in names for title in (name, f"{name}, against {BASELINE}")]
    return f"""## Auto against fixed choices, replayed

Auto's speed against the best fixed choice in hindsight, and which that is: {", ".join(FIXED)}. Recorded drafts
of {MODEL}, greedy, through the product's loop; a pass costs what is measured above, whatever the rows are.
Auto has met {MET} prompts of each kind, {data["met"]} in all, and none of the {data["answers"]} that count. No answer
has free drafts. Kinds are asked one request at a time.

{table(("at once", *names), by_load)}

{table(("kind", *titles), by_kind)}
"""


def _cell(taken: dict[str, float]) -> str:
    name, share = best(taken)
    return f"{share:.2f} ({name})"


def _single(taken: dict[str, float]) -> str:
    return f"{taken[BASELINE] / taken['auto']:.2f}"


def claims(found: Found) -> list[Claim]:
    """Return what auto must reach of the best choice at every load, and of single tokens in every kind."""
    data, made = found["replayed"], []
    for name, loads in data["loads"].items():
        shares = {load: best(taken)[1] for load, taken in loads.items()}
        worst = min(shares, key=shares.__getitem__)
        text = f"replayed in {name}, auto has {shares[worst]:.2f} of the best fixed choice's speed with {worst} at once"
        made.append(Claim(f"{text}, {LEAST} at least", shares[worst] >= LEAST))
        kinds = {kind: taken[BASELINE] / taken["auto"] for kind, taken in data["kinds"][name].items()}
        slowest = min(kinds, key=kinds.__getitem__)
        text = f"replayed in {name}, auto is {kinds[slowest]:.2f} times as fast as {BASELINE} in {slowest}"
        made.append(Claim(f"{text}, its slowest kind, {LEAST_KIND} at least", kinds[slowest] >= LEAST_KIND))
    return made


PART = Part("replayed", "auto against fixed choices, replayed", ("replayed",), 60, measure, section, claims, fixed=True)
