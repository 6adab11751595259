"""The results of `make editing` as EDITING.md and a plot, and what must hold of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..common import claims as held
from ..common.claims import Claim
from ..common.markdown import fill, table
from ..common.plots import figure
from .infill import LONGEST, WAYS

TEXT = Path(__file__).with_name("report.md")
NOTHING = "-"
NAMES = {
    "left_to_right_told": "left to right, size given",
    "left_to_right_line": "left to right, to the line's end",
    "infill_told": "infill, size given",
    "infill_searched": "infill, size searched",
}
SETS = {
    "lines": "a line of a checked reply, question in sight",
    "words": "a span of words of a checked reply, question in sight",
    "characters": "a span of any characters of a checked reply, question in sight",
    "function lines": "a line of a Python function, question in sight",
    "alone": "a line of a checked reply, question hidden too",
    "human_eval": "a line of a HumanEval function, plain text",
}
KNOWN = {"human_eval": "the checkpoint knows no free code"}
"""Why a set's claim fails where that is no defect of what is measured; it is shown as a failure all the same."""


def claims(results: dict[str, Any]) -> list[Claim]:
    """Return what must hold, with its figures."""
    found = []
    for name in dict.fromkeys(row["set"] for row in results["infill"]):
        found += _infill_claims(name, {row["way"]: row for row in results["infill"] if row["set"] == name})
    for row in results["revise"]:
        if row["corruption"] and _setting(row) == ["revise_threshold -2"]:
            kind, factor = ("", 10) if row["corruption"] == "any" else (f"{row['corruption']} ", 1)
            text = f"revise at -2 restores {row['restored']} of {row['wrong_tokens']} {kind}wrong tokens"
            text += f" and harms {row['harmed']} of {row['good_tokens']} good ones"
            found.append(Claim(text, row["restored"] > factor * row["harmed"]))
    efforts = [row for row in results["effort"] if "effort" in row]
    least, most, costs = efforts[0], efforts[-1], [row["forwards"] for row in efforts]
    text = f"effort 0 to 1: {least['exact']} to {most['exact']} of {least['asked']} exact, "
    text += f"{least['forwards']} to {most['forwards']} forwards"
    return [*found, Claim(text, most["exact"] > least["exact"] and costs == sorted(costs))]


def _infill_claims(name: str, by_way: dict[str, dict[str, Any]]) -> list[Claim]:
    """Return the claim of one set: exact answers where the question is in sight, else what parses, if it is Python."""
    line, searched = by_way["left_to_right_line"], by_way["infill_searched"]
    best = max(by_way["left_to_right_told"]["exact"], line["exact"])
    text = f"{SETS[name]}: infill {searched['exact']}, left to right {best} of {searched['asked']} exact"
    if name in ("words", "characters"):
        return [Claim(text, searched["exact"] > best)]
    if name in ("lines", "function lines"):
        return [Claim(f"{text} (left to right stops at the line's end)", searched["exact"] >= best)]
    text = f"{SETS[name]}: infill parses {searched['parsed']}, left to right {line['parsed']} of {searched['python']}"
    claim = Claim(text, searched["parsed"] > line["parsed"], KNOWN.get(name, ""))
    return [claim] if searched["python"] else []


def write(results: dict[str, Any], folder: Path) -> None:
    """Write EDITING.md and plots/effort.png into `folder`."""
    (folder / "EDITING.md").write_text(text(results), encoding="utf-8")
    _plot(results, folder / "plots" / "effort.png")


def text(results: dict[str, Any]) -> str:
    """Return the report: the text of report.md around the results."""
    values = {
        **{name: results["hardware"][name] for name in ("engine", "model", "precision")},
        "claims": held.text(claims(results)),
        "longest": LONGEST,
        "infill": _infill(results),
        "shortest": results["shortest"],
        "share": f"{results['share']:.0%}",
        "likeliest": results["likeliest"],
        "revise": _revise(results),
        "table_prompts": results["table_prompts"],
        "effort": _effort(results),
    }
    return fill(TEXT, values)


def _infill(results: dict[str, Any]) -> str:
    rows = []
    for row in sorted(results["infill"], key=lambda row: [list(SETS).index(row["set"]), WAYS.index(row["way"])]):
        parsed = f"{row['parsed']} of {row['python']}" if row["python"] else NOTHING
        exact, each = f"{row['exact']} of {row['asked']}", f"{row['forwards'] / row['asked']:.1f}"
        rows.append([SETS[row["set"]], NAMES[row["way"]], exact, parsed, each])
    return table(["hidden", "way", "exact", "parses", "forwards each"], rows, left=["hidden"])


def _setting(row: dict[str, Any]) -> list[str]:
    names = ("revise_threshold", "revise_fraction", "revise_rounds", "accept")
    return [f"{name} {row[name]:g}" if name != "accept" else f"{name} {row[name]}" for name in names if name in row]


def _revise(results: dict[str, Any]) -> str:
    rows, right = [], {tuple(_setting(row)): row for row in results["revise"] if row["corruption"] is None}
    for row in (row for row in results["revise"] if row["corruption"] is not None):
        harmless = right[tuple(_setting(row))]
        shares = [(row, "restored", "wrong_tokens"), (row, "harmed", "good_tokens"), (row, "exact", "texts")]
        restored, harmed, exact, spoilt = (
            f"{counts[part]} of {counts[whole]}" for counts, part, whole in [*shares, (harmless, *shares[1][1:])]
        )
        each = f"{row['forwards'] / row['texts']:.1f}"
        rows.append([", ".join(_setting(row)), row["corruption"], restored, harmed, exact, each, spoilt])
    head = ["setting", "wrong tokens", "restored", "harmed", "texts right again", "forwards each"]
    return table([*head, "harmed in right answers"], rows, left=["setting"])


def _effort(results: dict[str, Any]) -> str:
    rows = []
    for row in results["effort"]:
        way = f"effort {row['effort']:g}" if "effort" in row else row["mode"]
        exact, each = f"{row['exact']} of {row['asked']}", f"{row['tokens'] / row['forwards']:.1f}"
        rows.append([way, exact, row["forwards"], each])
    return table(["", "exact", "forwards", "tokens per forward"], rows, left=[""])


def _plot(results: dict[str, Any], path: Path) -> None:
    rows, serial = results["effort"][:-1], results["effort"][-1]
    points = [(row["forwards"], 100 * row["exact"] / row["asked"]) for row in rows]
    with figure(path, 6.4, 3.6, dpi=110) as axes:
        axes.plot(*zip(*points, strict=True), "o-", color="#1f77b4", markersize=4, label="diffusion by effort")
        for row, point in zip(rows, points, strict=True):
            axes.annotate(f"{row['effort']:g}", point, fontsize=7, xytext=(4, -8), textcoords="offset points")
        share, label = 100 * serial["exact"] / serial["asked"], f"autoregressive, {serial['forwards']} forwards"
        axes.axhline(share, color="#7a7a7a", linewidth=1, linestyle=":", label=label)
        axes.set_xlabel("forwards for all prompts")
        axes.set_ylabel("exact answers, %")
        axes.legend(frameon=False)
