"""Spans that were made and spans that a collector took, counted with the library's own spans."""

from __future__ import annotations

import pytest
from trimode.tracing.tally import Tally, TallyingExporter

pytest.importorskip("opentelemetry.sdk")
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON


class Exporter(SpanExporter):
    """Takes spans or not, as it is told."""

    def __init__(self, result: SpanExportResult) -> None:
        self.result, self.closed = result, False

    def export(self, spans: object) -> SpanExportResult:
        return self.result

    def shutdown(self) -> None:
        self.closed = True


def test_a_span_is_left_until_a_collector_took_it() -> None:
    tally, tracer = Tally(), TracerProvider(sampler=ALWAYS_ON).get_tracer("t")
    spans = [tracer.start_span("a"), tracer.start_span("b")]
    for span in spans:
        tally.end(span, 1_700_000_000_000_000_000)
    assert tally.left == 2 and all(not span.is_recording() for span in spans)
    refused = TallyingExporter(Exporter(SpanExportResult.FAILURE), tally)
    assert refused.export(spans).name == "FAILURE" and tally.left == 2
    assert TallyingExporter(Exporter(SpanExportResult.SUCCESS), tally).export(spans[:1]).name == "SUCCESS"
    assert tally.left == 1


def test_a_span_that_is_not_sampled_is_not_lost() -> None:
    tally = Tally()
    tally.end(TracerProvider(sampler=ALWAYS_OFF).get_tracer("t").start_span("a"))
    assert tally.left == 0


def test_the_exporter_is_shut_down() -> None:
    inner = Exporter(SpanExportResult.SUCCESS)
    TallyingExporter(inner, Tally()).shutdown()
    assert inner.closed
