"""What auto reaches of the best fixed choice in hindsight, on recorded answers: by load, domain and device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...common.claims import Claim
from ...common.markdown import table
from ...common.plots import figure, powers_of_two
from .. import Context, Data, Found, Part
from .bench import FIXED, LOADS, MET, halves, run
from .part import SHOWN, curve, devices, shown
from .recording import Recording

LEAST = 0.97
"""Least share of the speed of the best fixed choice."""


def measure(context: Context) -> dict[str, Data]:
    """Replay all choices at all loads."""
    recording = Recording.load()
    found = run(recording, devices(recording), context.progress)
    met, counted = halves(recording)
    loads, full = (
        {device: {str(load): one for load, one in by.items()} for device, by in figures.items()}
        for figures in (found.loads, found.full)
    )
    return {
        "auto_replay": {
            "met": len(met), "answers": len(counted), "loads": loads, "full": full, "domains": found.domains,
        }
    }  # fmt: skip


def best(taken: dict[str, float]) -> tuple[str, float]:
    """Return the fixed choice that took least, and auto's speed against it."""
    name = min(FIXED, key=taken.__getitem__)
    return name, taken[name] / taken["auto"]


def overall(data: Data) -> tuple[str, float]:
    """Return the fixed choice that is best over all devices and loads together, and auto's speed against it.

    Each choice counts by its mean share of the best fixed choice's speed, so that no device outweighs another.
    """
    cells: list[dict[str, float]] = [taken for loads in data["loads"].values() for taken in loads.values()]

    def mean(name: str) -> float:
        return sum(min(taken[one] for one in FIXED) / taken[name] for taken in cells) / len(cells)

    name = max(FIXED, key=mean)
    return name, mean("auto") / mean(name)


def section(found: Found) -> str:
    """Return auto's share by load and by domain on each device."""
    data = found["auto_replay"]
    names = list(data["loads"])
    by_load, by_full = (
        [[load, *(_cell(data[kind][device][str(load)]) for device in names)] for load in LOADS]
        for kind in ("loads", "full")
    )
    domains = sorted(data["domains"][names[0]])
    by_domain = [[domain, *(_cell(data["domains"][device][domain]) for device in names)] for domain in domains]
    costs = f"*{SHOWN}* is {curve(found['speculation']['pass_seconds'])}\n\n" if "speculation" in found else ""

    def titles(first: str) -> tuple[str, ...]:
        return (first, *(shown(device) for device in names))

    return f"""## Auto against fixed choices, replayed

Auto's speed against the best fixed choice in hindsight, and which that is: {", ".join(FIXED)}. Recorded drafts of nano,
greedy, through the product's loop; "Linear and quadratic drafts" describes the devices. Auto has met {MET} prompts of
each domain, {data["met"]} in all, and none of the {data["answers"]} that count. Domains are asked one request at a
time.

{costs}{table(titles("at once"), by_load)}

Tokens a second while all places are taken. The table above counts the end as well, when some places stand empty: a
choice that answers short requests first ends with a few long ones.

{table(titles("at once"), by_full)}

{table(titles("domain"), by_domain)}

![auto against fixed choices](plots/auto.png)
"""


def _cell(taken: dict[str, float]) -> str:
    name, share = best(taken)
    return f"{share:.2f} ({name})"


def claims(found: Found) -> list[Claim]:
    """Return what auto must reach at every load and in every domain, and that no single choice is better."""
    data, made = found["auto_replay"], []
    for device, loads in data["loads"].items():
        kinds = (("load", loads), ("full load", data["full"][device]), ("domain", data["domains"][device]))
        for what, cells in kinds:
            shares = {name: best(taken)[1] for name, taken in cells.items()}
            worst = min(shares, key=shares.__getitem__)
            text = f"replayed on {shown(device)}, auto has at least {LEAST:.0%} of the best fixed choice's speed"
            made.append(Claim(f"{text} at each {what}; least at {worst}: {shares[worst]:.1%}", shares[worst] >= LEAST))
    name, share = overall(data)
    text = f"replayed over all devices and loads, auto is {share:.2f} times as fast as the best single choice ({name})"
    return [*made, Claim(text, share > 1.0)]


def plot(found: Found, path: Path) -> None:
    """Draw the speed of each choice against the best fixed one, by load, a device a panel."""
    loads: dict[str, dict[str, Any]] = found["auto_replay"]["loads"]
    with figure(path, 12, 3.6, columns=len(loads)) as axes:
        for panel, (device, by) in zip(axes, loads.items(), strict=True):
            for name in (*FIXED, "auto"):
                shares = [min(by[str(load)][one] for one in FIXED) / by[str(load)][name] for load in LOADS]
                own = name == "auto"
                panel.plot(LOADS, shares, "o-" if own else "--", label=name, linewidth=2.5 if own else 1)
            powers_of_two(panel, LOADS, f"requests at once, {shown(device)}", "speed against the best fixed choice")
        axes[-1].legend(fontsize=7)


PART = Part(
    "auto-replay",
    "auto against fixed choices, replayed",
    ("auto_replay",),
    90,
    measure,
    section,
    claims,
    plot=("auto.png", plot),
    fixed=True,
    apart=True,
)
