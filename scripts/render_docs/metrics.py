"""The page of metrics, from trimode/metrics/, those of the fronts and by vLLM's names, and Triton's that help."""

from __future__ import annotations

from trimode.api.counters import STEP_SIZES
from trimode.metrics import INSTANCE, LABELS, METRICS, SECONDS, SHORT_SECONDS, TOKENS, UNITS, Metric
from trimode.server.access.refusals import FACES
from trimode.server.metrics_front.source import CACHE_INFO, INFO, REFUSALS
from trimode.server.metrics_front.vllm_names import TWINS, Twin

from .markdown import NOTHING, code, codes, paragraphs, prose, table

INTRODUCTION = """
# Metrics

`GET /metrics` on the metrics port (8002, or PORT+2 with `make serve`) and on the HTTP port answers in Prometheus' text
format. Metrics of this project begin with `trimode_`; they count requests that reached the model, and leave out the
supervisor's own. Requests that a front answers itself, such as one with a value out of range over HTTP, are counted in
`trimode_front_refusals_total` alone.
"""


def _bounds(buckets: tuple[float, ...]) -> str:
    return ", ".join(f"{bound:g}" for bound in buckets)


BUCKETS = (
    f"Histograms of seconds have the buckets {_bounds(SECONDS)}, those between tokens {_bounds(SHORT_SECONDS)}, and "
    f"those of tokens {_bounds(TOKENS)}; those of a step are {_bounds(STEP_SIZES)}. Each has the series `_bucket`, "
    f"`_sum` and `_count`. A metric without the label `{INSTANCE}` adds up over the instances of the model."
)

TRITON = {
    "nv_inference_pending_request_count": (
        "gauge",
        "requests",
        "Requests that wait for Triton to hand them to the model.",
    ),
    "nv_inference_request_success": (
        "counter",
        "requests",
        "Requests that the model answered, the supervisor's and refused ones included: the model is decoupled, and "
        "Triton 2.51 counts an answer that is an error as a success. Use `trimode_requests_total` for outcomes.",
    ),
    "nv_inference_queue_duration_us": (
        "counter",
        "microseconds",
        "Time that requests waited until the model took them. Requests that wait for a slot are in the model by then: "
        "see `trimode_requests_waiting`.",
    ),
    "nv_cpu_utilization": ("gauge", "share, 0 to 1", "Share of the machine's processor time that is in use."),
    "nv_cpu_memory_used_bytes": ("gauge", "bytes", "Memory of the machine that is in use."),
}
"""Of the metrics that Triton 2.51 was seen to publish on a machine without a GPU, those that help."""


FRONTS = """
A Triton that runs without the fronts does not have these. Of the histograms that are marked with a star it has counters
with the endings `_tally_total` (by bucket) and `_tally_sum_total` instead.
"""
OF_FRONTS = (
    (code(REFUSALS[0]), "counter", "`error_type`, `face`", f"{REFUSALS[1]}; faces are {codes(FACES)}."),
    (code(INFO[0]), "gauge", "`version`, `model`, `modes`, `engine`, `precision`", f"{INFO[1]}."),
    (code(CACHE_INFO[0]), "gauge", "`model_name`, `block_size`, `num_gpu_blocks`", f"{CACHE_INFO[1]}."),
)
VLLM = """
Dashboards and routers that know vLLM's metrics find them too, with the label `model_name`: the same numbers, summed
over the modes. `vllm:request_success_total` has the label `finished_reason`: `stop`, `length`, `abort` (`cancelled` and
`deadline` here) and `error`. `vllm:kv_cache_usage_perc` is the share of slots that are held, since a slot is what a new
request needs. `vllm:diffusion_num_canvas_positions_total` is not there.
"""


def page() -> str:
    """Return the page."""
    return paragraphs(
        INTRODUCTION,
        "## Metrics of this project",
        table(("metric", "type", "unit", "labels", "meaning"), [_row(metric) for metric in METRICS]),
        prose(BUCKETS),
        "## Labels",
        table(("label", "values"), [(code(name), text) for name, text in LABELS.items()]),
        "## Metrics of the fronts",
        FRONTS,
        table(("metric", "type", "labels", "meaning"), OF_FRONTS),
        "## The names of vLLM",
        VLLM,
        table(("metric", "type", "from"), map(_twin, TWINS)),
        "## Metrics of Triton",
        "Triton's metrics begin with `nv_`. These are useful here; those of inference have the labels `model` and "
        "`version`.",
        table(("metric", "type", "unit", "meaning"), [(code(name), *row) for name, row in TRITON.items()]),
    )


def _row(metric: Metric) -> tuple[str, ...]:
    labels = codes(metric.labels) or NOTHING
    star = " ★" if metric.tallied else ""
    return code(metric.name), metric.kind, UNITS[metric.name], labels, f"{metric.help}{star}."


def _twin(twin: Twin) -> tuple[str, ...]:
    kind = twin.ours.kind
    ending = "_total" if kind == "counter" else ""
    wanted = "".join(f", `{name}` {code(value)}" for name, value in twin.wanted.items())
    return code(twin.name + ending), kind, code(twin.ours.name) + wanted
