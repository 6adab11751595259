"""The same numbers by vLLM's names, with its label model_name, for dashboards and routers that know those alone.

Source: https://docs.vllm.ai/en/latest/usage/metrics/. What has no number of ours behind it is not there, such as
`vllm:diffusion_num_canvas_positions_total`. Knows names; nothing of how they get out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

from ...metrics import (
    ACCEPTED,
    DECODE,
    DRAFT_TOKENS,
    DURATION,
    FIRST_CHUNK,
    FORWARDS,
    INFERENCE,
    INTER_TOKEN,
    MOST_TOKENS,
    OUTPUT_SIZE,
    OUTPUT_TOKENS,
    PER_TOKEN,
    PREFILL,
    PREFIX_HITS,
    PREFIX_QUERIES,
    PROMPT_SIZE,
    PROMPT_TOKENS,
    QUEUE,
    REQUESTS,
    RUNNING,
    SLOTS_USED,
    STEP_TOKENS,
    VERIFICATIONS,
    WAITING,
    Metric,
)
from .samples import Samples

MODEL = "model_name"


@dataclass(frozen=True)
class Twin:
    """A metric of ours that vLLM has by another name; summed over all labels but those that are `wanted`."""

    name: str
    ours: Metric
    wanted: dict[str, str] = field(default_factory=dict)


COUNTERS = (
    Twin("vllm:prompt_tokens", PROMPT_TOKENS),
    Twin("vllm:generation_tokens", OUTPUT_TOKENS),
    Twin("vllm:prefix_cache_queries", PREFIX_QUERIES),
    Twin("vllm:prefix_cache_hits", PREFIX_HITS),
    Twin("vllm:spec_decode_num_drafts", FORWARDS, {"kind": "verify"}),
    Twin("vllm:spec_decode_num_draft_tokens", DRAFT_TOKENS),
    Twin("vllm:spec_decode_num_accepted_tokens", ACCEPTED),
    Twin("vllm:diffusion_num_denoising_steps", FORWARDS, {"kind": "denoise"}),
    Twin("vllm:diffusion_num_committed_tokens", OUTPUT_TOKENS, {"mode": "diffusion"}),
)
GAUGES = (Twin("vllm:num_requests_running", RUNNING), Twin("vllm:num_requests_waiting", WAITING))
HISTOGRAMS = (
    Twin("vllm:time_to_first_token_seconds", FIRST_CHUNK),
    Twin("vllm:e2e_request_latency_seconds", DURATION),
    Twin("vllm:inter_token_latency_seconds", INTER_TOKEN),
    Twin("vllm:request_time_per_output_token_seconds", PER_TOKEN),
    Twin("vllm:request_queue_time_seconds", QUEUE),
    Twin("vllm:request_prefill_time_seconds", PREFILL),
    Twin("vllm:request_decode_time_seconds", DECODE),
    Twin("vllm:request_inference_time_seconds", INFERENCE),
    Twin("vllm:request_prompt_tokens", PROMPT_SIZE),
    Twin("vllm:request_generation_tokens", OUTPUT_SIZE),
    Twin("vllm:request_max_num_generation_tokens", MOST_TOKENS),
    Twin("vllm:iteration_tokens_total", STEP_TOKENS),
)
KV_USE = Twin("vllm:kv_cache_usage_perc", SLOTS_USED)
FINISHED = Twin("vllm:request_success", REQUESTS)
PER_POSITION = Twin("vllm:spec_decode_num_accepted_tokens_per_pos", VERIFICATIONS)
REASONS = {"stop": ("stop",), "length": ("length",), "abort": ("cancelled", "deadline"), "error": ("error",)}
"""vLLM's reasons for which an answer finished, and the outcomes that they are here."""
TWINS = (*COUNTERS, *GAUGES, KV_USE, FINISHED, PER_POSITION, *HISTOGRAMS)


def families(samples: Samples, model: str) -> Iterator[Family]:
    """Give each family with the label `model`; what was not counted yet is 0."""
    for twin in COUNTERS:
        counter = CounterMetricFamily(twin.name, _help(twin), labels=[MODEL])
        counter.add_metric([model], sum(samples.values(twin.ours, twin.wanted)))
        yield counter
    for twin in GAUGES:
        gauge = GaugeMetricFamily(twin.name, _help(twin), labels=[MODEL])
        gauge.add_metric([model], sum(samples.values(twin.ours, {})))
        yield gauge
    used = samples.values(SLOTS_USED, {})
    use = GaugeMetricFamily(KV_USE.name, _help(KV_USE), labels=[MODEL])
    use.add_metric([model], sum(used) / len(used) if used else 0.0)
    yield use
    finished = CounterMetricFamily(FINISHED.name, _help(FINISHED), labels=[MODEL, "finished_reason"])
    for reason, outcomes in REASONS.items():
        ended = [sum(samples.values(REQUESTS, {"outcome": outcome})) for outcome in outcomes]
        finished.add_metric([model, reason], sum(ended))
    yield finished
    yield _per_position(samples, model)
    for twin in HISTOGRAMS:
        found = samples.sum_of(twin.ours)
        histogram = HistogramMetricFamily(twin.name, _help(twin), labels=[MODEL])
        histogram.add_metric([model], found.cumulative(), found.total)
        yield histogram


def _per_position(samples: Samples, model: str) -> Family:
    """Return, for each place of a draft, how often its token was kept: in verifications that kept more than that."""
    kept = {int(labels["confirmed"]): count for labels, count in samples.series.get(VERIFICATIONS.name, [])}
    made = CounterMetricFamily(PER_POSITION.name, _help(PER_POSITION), labels=[MODEL, "position"])
    for position in range(max(kept, default=0)):
        made.add_metric([model, str(position)], sum(count for most, count in kept.items() if most > position))
    return made


def _help(twin: Twin) -> str:
    wanted = "".join(f" with {name} {value}" for name, value in twin.wanted.items())
    return f"As vLLM has it, from {twin.ours.name}{wanted}"
