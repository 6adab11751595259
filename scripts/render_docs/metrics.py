"""The page of metrics, from trimode/metrics.py, with those of Triton's own that help."""

from __future__ import annotations

from trimode.metrics import INSTANCE, LABELS, METRICS, SECONDS, UNITS, Metric

from .markdown import NOTHING, code, codes, paragraphs, prose, table

INTRODUCTION = """
# Metrics

`GET /metrics` on the metrics port (8002, or PORT+2 with `make serve`) answers in Prometheus' text format. Metrics of
this project begin with `trimode_`; they count requests that reached the model, and leave out the supervisor's own.
Requests that the guard answers itself, such as one with a value out of range over HTTP, are not among them.
"""

BUCKETS = (
    f"Each histogram has the buckets {', '.join(f'{bound:g}' for bound in SECONDS)} (seconds), and the series "
    f"`_bucket`, `_sum` and `_count`. A metric without the label `{INSTANCE}` adds up over the instances of the model."
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


def page() -> str:
    """Return the page."""
    return paragraphs(
        INTRODUCTION,
        "## Metrics of this project",
        table(("metric", "type", "unit", "labels", "meaning"), [_row(metric) for metric in METRICS]),
        prose(BUCKETS),
        "## Labels",
        table(("label", "values"), [(code(name), text) for name, text in LABELS.items()]),
        "## Metrics of Triton",
        "Triton's metrics begin with `nv_`. These are useful here; those of inference have the labels `model` and "
        "`version`.",
        table(("metric", "type", "unit", "meaning"), [(code(name), *row) for name, row in TRITON.items()]),
    )


def _row(metric: Metric) -> tuple[str, ...]:
    labels = codes(metric.labels) or NOTHING
    return code(metric.name), metric.kind, UNITS[metric.name], labels, f"{metric.help}."
