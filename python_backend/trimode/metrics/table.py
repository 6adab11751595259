"""The server's own metrics: names, kinds, units, labels and buckets. Knows nothing of how they are counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..api.counters import STEP_SIZES

INSTANCE = "model_instance"
"""Label of what instances must not add up or overwrite; they share every metric whose labels are the same."""
TALLY = ("_tally_total", "_tally_sum_total")
"""Endings of the two counters of a tallied histogram: observations by bucket (`le`, not added up), and their sum."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SHORT_SECONDS = (0.0005, 0.001, 0.0025, *SECONDS[:9])
TOKENS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 20000.0, 50000.0)


@dataclass(frozen=True)
class Metric:
    """One family: its Prometheus name, kind, help with unit, label names, and buckets when it is a histogram.

    A histogram that is `tallied` is summed up here before it is published, since Triton takes 0.05 ms for each single
    observation: Triton has it as counters with the endings of TALLY, and the front of metrics shows the histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    tallied: bool = False


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
FREE_DRAFT_TOKENS = Metric(
    "trimode_free_draft_tokens_total",
    "counter",
    "Tokens drafted for answered requests without a pass, by the field that asked for it",
    ("mode", "source"),
)
ACCEPTED_FREE = Metric(
    "trimode_accepted_free_draft_tokens_total",
    "counter",
    "Tokens drafted without a pass that verification kept",
    ("mode", "source"),
)
FIRST_CHUNK = Metric(
    "trimode_first_chunk_seconds", "histogram", "Seconds from arrival to the first chunk sent", ("mode",), SECONDS
)
DURATION = Metric(
    "trimode_request_seconds", "histogram", "Seconds from arrival to the final response", ("mode",), SECONDS
)
QUEUE = Metric(
    "trimode_queue_seconds",
    "histogram",
    "Seconds from arrival to a slot of the engine",
    ("mode",),
    SECONDS,
    tallied=True,
)
PREFILL = Metric(
    "trimode_prefill_seconds", "histogram", "Seconds from a slot to the first token", ("mode",), SECONDS, tallied=True
)
DECODE = Metric(
    "trimode_decode_seconds",
    "histogram",
    "Seconds from the first token to the last",
    ("mode",),
    SECONDS,
    tallied=True,
)
INFERENCE = Metric(
    "trimode_inference_seconds",
    "histogram",
    "Seconds from a slot to the last token",
    ("mode",),
    SECONDS,
    tallied=True,
)
INTER_TOKEN = Metric(
    "trimode_inter_token_seconds",
    "histogram",
    "Seconds between two tokens; those that one pass gives share the time since the pass before that gave some",
    ("mode",),
    SHORT_SECONDS,
    tallied=True,
)
INTER_CHUNK = Metric(
    "trimode_inter_chunk_seconds",
    "histogram",
    "Seconds between two passes that gave tokens, and so between two chunks of a stream",
    ("mode",),
    SHORT_SECONDS,
    tallied=True,
)
PER_TOKEN = Metric(
    "trimode_time_per_output_token_seconds",
    "histogram",
    "Seconds from the first token to the last by the tokens after the first, a mean of each request",
    ("mode",),
    SHORT_SECONDS,
    tallied=True,
)
PROMPT_SIZE = Metric(
    "trimode_request_prompt_tokens", "histogram", "Prompt tokens of a request", ("mode",), TOKENS, tallied=True
)
OUTPUT_SIZE = Metric(
    "trimode_request_output_tokens", "histogram", "Tokens of an answer", ("mode",), TOKENS, tallied=True
)
MOST_TOKENS = Metric(
    "trimode_request_max_tokens",
    "histogram",
    "Tokens that a request asked for at most",
    ("mode",),
    TOKENS,
    tallied=True,
)
STEP_TOKENS = Metric(
    "trimode_step_tokens",
    "histogram",
    "Tokens of a step of the scheduler: those of prompts that it read, and those of answers that it gave, none where "
    "it only denoised or drafted",
    (),
    STEP_SIZES,
    tallied=True,
)
VERIFICATIONS = Metric(
    "trimode_verifications_total", "counter", "Verified drafts by how many of their tokens were kept", ("confirmed",)
)
SLOTS = Metric("trimode_slots", "gauge", "Sequences that can hold keys and values at once", (INSTANCE,))
SLOTS_USED = Metric(
    "trimode_slots_used_ratio", "gauge", "Share of the engine's slots for keys and values that are held", (INSTANCE,)
)
RUNNING = Metric("trimode_requests_running", "gauge", "Requests that hold a slot of the engine now", (INSTANCE,))
WAITING = Metric("trimode_requests_waiting", "gauge", "Requests in the queue now", (INSTANCE,))
PASSES = Metric("trimode_engine_passes_total", "counter", "Calls of the compiled engine since start", (INSTANCE,))
PREFIX_QUERIES = Metric("trimode_prefix_cache_queries_total", "counter", "Prompt tokens looked up in the prefix cache")
PREFIX_HITS = Metric(
    "trimode_prefix_cache_hits_total", "counter", "Prompt tokens found there, which were not read again"
)
PREFIX_BYTES = Metric("trimode_prefix_cache_bytes", "gauge", "Memory that the prefix cache holds", (INSTANCE,))
PICTURES_ENCODED = Metric("trimode_pictures_encoded_total", "counter", "Pictures that went through the tower")
PICTURES_FOUND = Metric(
    "trimode_pictures_found_total", "counter", "Pictures that had been encoded before, and were not again"
)
PICTURE_BYTES = Metric("trimode_picture_bytes", "gauge", "Memory that encoded pictures hold", (INSTANCE,))
GRAMMAR_BYTES = Metric(
    "trimode_grammar_bytes",
    "gauge",
    "Memory that the grammars which are kept are counted with, their states included",
    (INSTANCE,),
)
AUTO_CYCLES = Metric(
    "trimode_auto_cycles_total",
    "counter",
    "Cycles by what mode auto chose: the mode, `quadratic` for quadratic passes, or the source of a free "
    "draft, and the length of the draft (0 without one; for diffusion, answers)",
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
    FREE_DRAFT_TOKENS,
    ACCEPTED_FREE,
    FIRST_CHUNK,
    DURATION,
    QUEUE,
    PREFILL,
    DECODE,
    INFERENCE,
    INTER_TOKEN,
    INTER_CHUNK,
    PER_TOKEN,
    PROMPT_SIZE,
    OUTPUT_SIZE,
    MOST_TOKENS,
    STEP_TOKENS,
    VERIFICATIONS,
    SLOTS,
    SLOTS_USED,
    RUNNING,
    WAITING,
    PASSES,
    PREFIX_QUERIES,
    PREFIX_HITS,
    PREFIX_BYTES,
    PICTURES_ENCODED,
    PICTURES_FOUND,
    PICTURE_BYTES,
    GRAMMAR_BYTES,
    AUTO_CYCLES,
    PASS_SECONDS,
)
UNITS: dict[str, str] = {
    metric.name: unit
    for unit, metrics in {
        "requests": (REQUESTS, RUNNING, WAITING),
        "tokens": (
            *(PROMPT_TOKENS, OUTPUT_TOKENS, DRAFT_TOKENS, ACCEPTED, PREFIX_QUERIES, PREFIX_HITS),
            *(PROMPT_SIZE, OUTPUT_SIZE, MOST_TOKENS, STEP_TOKENS, FREE_DRAFT_TOKENS, ACCEPTED_FREE),
        ),
        "verifications": (VERIFICATIONS,),
        "sequences": (SLOTS,),
        "share, 0 to 1": (SLOTS_USED,),
        "passes": (FORWARDS,),
        "calls": (PASSES,),
        "cycles": (AUTO_CYCLES,),
        "seconds": (
            *(FIRST_CHUNK, DURATION, PASS_SECONDS, QUEUE, PREFILL, DECODE),
            *(INFERENCE, INTER_TOKEN, INTER_CHUNK, PER_TOKEN),
        ),
        "pictures": (PICTURES_ENCODED, PICTURES_FOUND),
        "bytes": (PREFIX_BYTES, PICTURE_BYTES, GRAMMAR_BYTES),
    }.items()
    for metric in metrics
}
"""The unit of each metric's values, by the metric's name."""
LABELS: dict[str, str] = {
    "mode": "The mode of a request that generates (`auto` for one in mode auto), or its operation, `infill` or "
    "`revise`. A request that never ran counts as `invalid`, or, if it was refused for another reason, as the mode "
    "that it named, or `default`. In `trimode_auto_cycles_total`, the mode that auto chose for the cycles, or the "
    "source of the free draft that they verified.",
    "outcome": "How a request ended: `stop`, `length`, `invalid`, `overloaded`, `cancelled`, `deadline` or `error`.",
    "kind": "What a pass was for: `prefill`, `decode`, `draft`, `denoise`, `verify`, `commit` or `score`.",
    "source": "Where a draft came from: `prediction` or `prompt_lookup`.",
    "confirmed": "Tokens of the draft that were kept, from 0.",
    "block_length": "Tokens of the draft, the one before it included; 0 for single tokens.",
    "rows": "Rows of the call.",
    "tokens": "Tokens of each row.",
    INSTANCE: "Triton's name of the instance of the model, such as `nemotron_diffusion_0_0`.",
}
"""What each label says, by its name."""
FORWARD_KINDS = ("prefill", "decode", "draft", "denoise", "verify", "commit", "score")
