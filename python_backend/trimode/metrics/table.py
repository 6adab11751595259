"""The server's own metrics: names, kinds, units, labels and buckets. Knows nothing of how they are counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

INSTANCE = "model_instance"
"""Label of what instances must not add up or overwrite; they share every metric whose labels are the same."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


@dataclass(frozen=True)
class Metric:
    """One family: its Prometheus name, kind, help with unit, label names, and buckets when it is a histogram."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


REQUESTS = Metric(
    "trimode_requests_total",
    "counter",
    "Requests answered, by mode (or infill, revise) and outcome "
    "(stop, length, invalid, overloaded, cancelled, deadline, error)",
    ("mode", "outcome"),
)
PROMPT_TOKENS = Metric("trimode_prompt_tokens_total", "counter", "Prompt tokens of answered requests", ("mode",))
OUTPUT_TOKENS = Metric("trimode_output_tokens_total", "counter", "Tokens generated for answered requests", ("mode",))
FORWARDS = Metric(
    "trimode_forwards_total",
    "counter",
    "Forward passes of answered requests, by mode and kind; one engine pass carries many requests' forwards",
    ("mode", "kind"),
)
DRAFT_TOKENS = Metric("trimode_draft_tokens_total", "counter", "Tokens drafted for answered requests", ("mode",))
ACCEPTED = Metric("trimode_accepted_draft_tokens_total", "counter", "Drafted tokens that verification kept", ("mode",))
FIRST_CHUNK = Metric(
    "trimode_first_chunk_seconds", "histogram", "Seconds from arrival to the first chunk sent", ("mode",), SECONDS
)
DURATION = Metric(
    "trimode_request_seconds", "histogram", "Seconds from arrival to the final response", ("mode",), SECONDS
)
RUNNING = Metric("trimode_requests_running", "gauge", "Requests that hold a slot of the engine now", (INSTANCE,))
WAITING = Metric("trimode_requests_waiting", "gauge", "Requests in the queue now", (INSTANCE,))
PASSES = Metric("trimode_engine_passes_total", "counter", "Calls of the compiled engine since start", (INSTANCE,))
PREFIX_QUERIES = Metric("trimode_prefix_cache_queries_total", "counter", "Prompt tokens looked up in the prefix cache")
PREFIX_HITS = Metric(
    "trimode_prefix_cache_hits_total", "counter", "Prompt tokens found there, which were not read again"
)
PREFIX_BYTES = Metric("trimode_prefix_cache_bytes", "gauge", "Memory that the prefix cache holds", (INSTANCE,))
AUTO_CYCLES = Metric(
    "trimode_auto_cycles_total",
    "counter",
    "Cycles by what mode auto chose: the mode and the length of its draft (0 without one; for diffusion, answers)",
    ("mode", "block_length"),
)
PASS_SECONDS = Metric(
    "trimode_pass_seconds",
    "gauge",
    "What an engine call takes with what is done around it, as mode auto expects it",
    (INSTANCE, "rows", "tokens"),
)

METRICS: tuple[Metric, ...] = (
    REQUESTS,
    PROMPT_TOKENS,
    OUTPUT_TOKENS,
    FORWARDS,
    DRAFT_TOKENS,
    ACCEPTED,
    FIRST_CHUNK,
    DURATION,
    RUNNING,
    WAITING,
    PASSES,
    PREFIX_QUERIES,
    PREFIX_HITS,
    PREFIX_BYTES,
    AUTO_CYCLES,
    PASS_SECONDS,
)
UNITS: dict[str, str] = {
    metric.name: unit
    for unit, metrics in {
        "requests": (REQUESTS, RUNNING, WAITING),
        "tokens": (PROMPT_TOKENS, OUTPUT_TOKENS, DRAFT_TOKENS, ACCEPTED, PREFIX_QUERIES, PREFIX_HITS),
        "passes": (FORWARDS,),
        "calls": (PASSES,),
        "cycles": (AUTO_CYCLES,),
        "seconds": (FIRST_CHUNK, DURATION, PASS_SECONDS),
        "bytes": (PREFIX_BYTES,),
    }.items()
    for metric in metrics
}
"""The unit of each metric's values, by the metric's name."""
LABELS: dict[str, str] = {
    "mode": "The mode of a request that generates (`auto` for one in mode auto), or its operation, `infill` or "
    "`revise`. A request that never ran counts as `invalid`, or, if it was refused for another reason, as the mode "
    "that it named, or `default`. In `trimode_auto_cycles_total`, the mode that auto chose for the cycles.",
    "outcome": "How a request ended: `stop`, `length`, `invalid`, `overloaded`, `cancelled`, `deadline` or `error`.",
    "kind": "What a pass was for: `prefill`, `decode`, `draft`, `denoise`, `verify`, `commit` or `score`.",
    "block_length": "Tokens of the draft; 0 for single tokens.",
    "rows": "Rows of the call.",
    "tokens": "Tokens of each row.",
    INSTANCE: "Triton's name of the instance of the model, such as `nemotron_diffusion_0_0`.",
}
"""What each label says, by its name."""
FORWARD_KINDS = ("prefill", "decode", "draft", "denoise", "verify", "commit", "score")
