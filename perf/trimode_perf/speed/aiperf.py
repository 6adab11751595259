"""What NVIDIA's AIPerf says of drafts: reads its exports, keeps ratios and counts, writes perf/AIPERF.md.

AIPerf is run by hand, with the command of docs/guides/other-clients.md. Its times are left out: they are the machine's.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..common import PERF, RESULTS
from ..common.markdown import table
from ..common.results import about, read, rounded, save

EXPORT = "profile_export_aiperf.json"
KEPT = RESULTS / "aiperf.json"
PAGE = PERF / "AIPERF.md"
COMMAND = "python -m trimode_perf aiperf FOLDER ..."
FIGURES = {
    "spec_decode_acceptance_length": "acceptance length",
    "spec_decode_token_weighted_acceptance_length": "acceptance length, weighted by tokens",
    "spec_decode_overall_draft_acceptance_rate": "share of drafts accepted, %",
    "spec_decode_accepted_per_verified": "accepted tokens a verified one",
    "spec_decode_steps": "verifications an answer",
    "output_sequence_length": "tokens an answer",
}
"""Figures of AIPerf's export of which the mean is kept, and what the page calls them."""
BANDS = ((0, 0), (1, 7), (8, 15), (16, 23), (24, 30), (31, 31))
"""Accepted drafts of one verification, from and to; a draft of nano has 31 tokens at most."""


def kept(export: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a run: its model, requests, errors, the means of FIGURES, and the histogram of drafts.

    A figure that AIPerf does not have is None: it has those of drafts only if the server drafted.
    """
    means = {name: export[name]["avg"] if name in export else None for name in FIGURES}
    found: dict[str, Any] = rounded(
        {
            "aiperf": export["aiperf_version"],
            "model": export["input_config"]["models"]["items"][0]["name"],
            "requests": export["request_count"]["avg"],
            "errors": len(export["error_summary"]),
            "histogram": export.get("pooled_spec_decode_acceptance_histogram") or {},
            **means,
        }
    )
    return found


def page(found: dict[str, Any]) -> str:
    """Return perf/AIPERF.md."""
    runs = found["runs"]
    rows = [[title, *(_shown(run[name]) for run in runs)] for name, title in FIGURES.items()]
    bands = []
    for low, high in BANDS:
        name = str(low) if low == high else f"{low} to {high}"
        bands += [[name, *(_share(run["histogram"], low, high) for run in runs)]]
    failed = sum(run["errors"] for run in runs) or "None"
    models = [f"`{run['model']}`" for run in runs]
    return f"""# AIPerf

NVIDIA's AIPerf {runs[0]["aiperf"]} asked a server of nano for {runs[0]["requests"]:g} streamed chats, four at once,
under each of these names, with the [command of the guide](../docs/guides/other-clients.md#aiperf). {failed} of them
failed. The figures are those of its section `Spec Decode`, which it makes from `metrics.speculative_decoding` of each
answer. An acceptance length counts the token that each verification adds itself. AIPerf's times are left out: they are
those of a machine.
`{COMMAND}` wrote this page at {found["measured_at"]}.

{table(["figure", *models], rows, left=["figure"])}

Verifications by the drafted tokens that they accepted, in %:

{table(["accepted", *models], bands, left=["accepted"])}
"""


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _share(histogram: dict[str, int], low: int, high: int) -> str:
    total = sum(histogram.values())
    counted = sum(count for at, count in histogram.items() if low <= int(at) <= high)
    return f"{100 * counted / total:.0f}" if total else ""


def main(arguments: list[str] | None = None) -> int:
    """Write perf/AIPERF.md from the folders that AIPerf wrote, one for each run."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf aiperf", description=main.__doc__)
    made.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="as given to --artifact-dir")
    folders: list[Path] = made.parse_args(arguments).folders
    found = {**about(COMMAND), "runs": [kept(read(folder / EXPORT)) for folder in folders]}
    save(KEPT, found)
    PAGE.write_text(page(found), encoding="utf-8")
    return 0
