"""The results of `make editing` as EDITING.md and a plot, and what must hold of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # the backend must be chosen first

from ..quality.markdown import grid
from .infill import LONGEST, WAYS

TEXT = Path(__file__).with_name("report.md")
NOTHING = "-"
NAMES = {
    "left_to_right_told": "left to right, size told",
    "left_to_right_line": "left to right, to the line's end",
    "infill_told": "infill, size told",
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
KNOWN = {SETS["human_eval"]: "the checkpoint knows no free code"}
"""What fails and why, by how its claim begins: shown as a failure, but no defect of what is measured."""


def claims(results: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return what must hold, with its figures, and whether it does."""
    found = []
    for name in dict.fromkeys(row["set"] for row in results["infill"]):
        by_way = {row["way"]: row for row in results["infill"] if row["set"] == name}
        told, line = by_way["left_to_right_told"], by_way["left_to_right_line"]
        searched, best = by_way["infill_searched"], max(told["exact"], line["exact"])
        if name in ("words", "characters"):
            text = f"{SETS[name]}: infill {searched['exact']}, left to right {best} of {searched['asked']} exact"
            found.append((text, searched["exact"] > best))
        elif name in ("lines", "function lines"):
            text = f"{SETS[name]}: infill {searched['exact']}, left to right {best} of {searched['asked']} exact"
            found.append((text + " (left to right stops at the line's end)", searched["exact"] >= best))
        else:
            text = f"{SETS[name]}: infill parses {searched['parsed']}, left to right {line['parsed']}"
            if searched["python"]:
                found.append((f"{text} of {searched['python']}", searched["parsed"] > line["parsed"]))
    default = [row for row in results["revise"] if set(_setting(row)) == {"revise_threshold -2"}]
    for row in default:
        if row["corruption"] == "any":
            text = f"revise at -2 restores {row['restored']} of {row['wrong_tokens']} wrong tokens"
            text += f" and harms {row['harmed']} of {row['good_tokens']} good ones"
            found.append((text, row["restored"] > 10 * row["harmed"]))
        elif row["corruption"]:
            text = f"revise at -2 restores {row['restored']} of {row['wrong_tokens']} {row['corruption']} wrong tokens"
            text += f" and harms {row['harmed']} of {row['good_tokens']} good ones"
            found.append((text, row["restored"] > row["harmed"]))
    efforts = [row for row in results["effort"] if "effort" in row]
    text = f"effort 0 to 1: {efforts[0]['exact']} to {efforts[-1]['exact']} of {efforts[0]['asked']} exact, "
    text += f"{efforts[0]['forwards']} to {efforts[-1]['forwards']} forwards"
    rises = efforts[-1]["exact"] > efforts[0]["exact"]
    costs = [row["forwards"] for row in efforts]
    return [*found, (text, rises and costs == sorted(costs))]


def lines(results: dict[str, Any]) -> list[str]:
    """Return the claims as lines to print."""
    return [f"{'pass' if holds else 'FAIL'}  {text}{'' if holds else _why(text)}" for text, holds in claims(results)]


def unexpected(results: dict[str, Any]) -> list[str]:
    """Return the claims that fail without a known reason."""
    return [text for text, holds in claims(results) if not holds and not _why(text)]


def _why(text: str) -> str:
    return next((f" (known: {reason})" for start, reason in KNOWN.items() if text.startswith(start)), "")


def write(results: dict[str, Any], folder: Path) -> None:
    """Write EDITING.md and plots/effort.png into `folder`."""
    (folder / "EDITING.md").write_text(text(results), encoding="utf-8")
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    _plot(results, folder / "plots" / "effort.png")


def text(results: dict[str, Any]) -> str:
    """Return the report: the text of report.md around the results."""
    values = {
        **{name: results["hardware"][name] for name in ("engine", "model", "precision")},
        "claims": "\n".join(lines(results)),
        "longest": LONGEST,
        "infill": _infill(results),
        "shortest": results["shortest"],
        "share": f"{results['share']:.0%}",
        "likeliest": results["likeliest"],
        "revise": _revise(results),
        "table_prompts": results["table_prompts"],
        "effort": _effort(results),
    }
    filled = TEXT.read_text(encoding="utf-8")
    for key, value in values.items():
        filled = filled.replace("{{" + key + "}}", str(value))
    return filled


def _infill(results: dict[str, Any]) -> str:
    rows = []
    for name in dict.fromkeys(row["set"] for row in results["infill"]):
        for way in WAYS:
            row = next(row for row in results["infill"] if (row["set"], row["way"]) == (name, way))
            parsed = f"{row['parsed']} of {row['python']}" if row["python"] else NOTHING
            exact = f"{row['exact']} of {row['asked']}"
            rows.append([SETS[name], NAMES[way], exact, parsed, f"{row['forwards'] / row['asked']:.1f}"])
    return grid(["hidden", "way", "exact", "parses", "forwards each"], rows)


def _setting(row: dict[str, Any]) -> list[str]:
    names = ("revise_threshold", "revise_fraction", "revise_rounds", "accept")
    return [f"{name} {row[name]:g}" if name != "accept" else f"{name} {row[name]}" for name in names if name in row]


def _revise(results: dict[str, Any]) -> str:
    rows, right = [], {tuple(_setting(row)): row for row in results["revise"] if row["corruption"] is None}
    for row in results["revise"]:
        if row["corruption"] is not None:
            harmless = right[tuple(_setting(row))]
            rows.append(
                [
                    ", ".join(_setting(row)),
                    row["corruption"],
                    f"{row['restored']} of {row['wrong_tokens']}",
                    f"{row['harmed']} of {row['good_tokens']}",
                    f"{row['exact']} of {row['texts']}",
                    f"{row['forwards'] / row['texts']:.1f}",
                    f"{harmless['harmed']} of {harmless['good_tokens']}",
                ]
            )
    head = ["setting", "wrong tokens", "restored", "harmed", "texts right again", "forwards each"]
    return grid([*head, "harmed in right answers"], rows)


def _effort(results: dict[str, Any]) -> str:
    rows = [
        [
            f"effort {row['effort']:g}" if "effort" in row else row["mode"],
            f"{row['exact']} of {row['asked']}",
            str(row["forwards"]),
            f"{row['tokens'] / row['forwards']:.1f}",
        ]
        for row in results["effort"]
    ]
    return grid(["", "exact", "forwards", "tokens per forward"], rows)


def _plot(results: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    rows = [row for row in results["effort"] if "effort" in row]
    points = [(row["forwards"], 100 * row["exact"] / row["asked"]) for row in rows]
    axes.plot(*zip(*points, strict=True), "o-", color="#1f77b4", markersize=4, label="diffusion by effort")
    for row, (x, y) in zip(rows, points, strict=True):
        axes.annotate(f"{row['effort']:g}", (x, y), fontsize=7, xytext=(4, -8), textcoords="offset points")
    serial = results["effort"][-1]
    share = 100 * serial["exact"] / serial["asked"]
    label = f"autoregressive, {serial['forwards']} forwards"
    axes.axhline(share, color="#7a7a7a", linewidth=1, linestyle=":", label=label)
    axes.set_xlabel("forwards for all prompts")
    axes.set_ylabel("exact answers, %")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
