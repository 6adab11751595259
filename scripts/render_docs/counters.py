"""The page of what an answer holds, from api/tensors.py and api/counters.py."""

from __future__ import annotations

from trimode.api.tensors import COUNTS, OUTPUTS, RATIOS, Output

from .markdown import NOTHING, code, paragraphs, plain, table
from .parameters import wire_type

INTRODUCTION = """
# Outputs and counters

An answer is one response or, with [`stream`](parameters.md#stream), several. Each response holds `text_output`. Other
outputs come only where the request asks for them, and most of them only with the last response.

Over gRPC each output is a tensor of the type below, with `[n]` for any length. Over HTTP each output is a key of the
JSON object; Triton writes a tensor of one element as a plain value and one of several elements as a list, so that the
`fills` of one gap are a string. Outputs that hold JSON are strings in both.
"""

COUNTERS = """
Counters say what the answer cost, in passes and drafts. They come with the last response if the request sets
[`return_perf_metrics`](parameters.md#return_perf_metrics). A request to fill gaps counts the passes of every size that
it tried. A pass is one run of the network for one sequence; the names of counters call it a forward, as the papers do.
"""


def page() -> str:
    """Return the page."""
    counters = [output for output in OUTPUTS if output.name in (*COUNTS, *RATIOS)]
    outputs = [output for output in OUTPUTS if output not in counters]
    return paragraphs(
        INTRODUCTION,
        "## Outputs",
        table(
            ("output", "tensor", "unit", "comes with", "holds"),
            [(code(one.name), wire_type(one), one.unit or NOTHING, _when(one), plain(one.help)) for one in outputs],
        ),
        "## Counters",
        COUNTERS,
        table(
            ("counter", "tensor", "unit", "meaning"),
            [(code(one.name), wire_type(one), one.unit, plain(one.help)) for one in counters],
        ),
    )


def _when(output: Output) -> str:
    """Return which responses carry an output, and what asks for it."""
    match output.asked_by:
        case "":
            return "every response" if output.every else "the last response"
        case "segments":
            asked = "a request to fill gaps"
        case "text":
            asked = "a request to revise"
        case name:
            asked = f"[`{name}`](parameters.md#{name})"
    if output.name == "auto":
        asked += " in mode auto"
    if output.name == "provisional":
        return f"{asked}, after each denoising pass"
    return f"{asked}, {'every response' if output.every else 'the last response'}"
