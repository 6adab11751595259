"""Spans: sends what requests went through to a collector, by OTLP over HTTP. Knows OpenTelemetry's library.

What else can be set is the library's: its variables OTEL_*, such as OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and
OTEL_RESOURCE_ATTRIBUTES. Attributes are named by the semantic conventions for generative AI, and what these do not name
begins with `trimode.`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigError
from .request_trace import Attributes, RequestTrace
from .tally import Tally, TallyingExporter

ENDPOINT_VARIABLE = "TRIMODE_OTLP_TRACES_ENDPOINT"
SERVICE = "trimode"
EXTRA = "needs the packages of the extra `tracing`: pip install 'trimode[tracing]'"
DELAY_MS = 500
"""Milliseconds between two exports, unless OTEL_BSP_SCHEDULE_DELAY says so: what was not sent is lost where a process
is killed, and the library waits for 5 s."""
EXPORT_SECONDS = 5  # for a collector to take what is sent
CLOSE_SECONDS = 3.0  # for it to take what is left at an end

logger = logging.getLogger(__name__)


class ServedSpan:
    """A request at the front, from when it is let in to the end of its answer.

    Attributes:
        traceparent: what names it to those who work for it.
    """

    def __init__(self, span: Any, traceparent: str, end: Callable[[Any], None]) -> None:
        self._span, self.traceparent, self._end = span, traceparent, end

    def answered(self, status: int) -> None:
        """Note the status of its answer over HTTP."""
        self._span.set_attribute("http.response.status_code", status)

    def failed(self, error_type: str) -> None:
        """Note the type of the error that it got."""
        _fail(self._span, error_type)

    def end(self) -> None:
        """End it now."""
        self._end(self._span)


class Spans:
    """Makes spans and sends them, in a thread of its own."""

    def __init__(self, endpoint: str, role: str) -> None:
        """Begin to send to `endpoint`; `role` names this part of the service.

        Raises:
            ConfigError: the library is not installed.
        """
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as exc:
            raise ConfigError(f"--otlp-traces-endpoint {EXTRA} ({exc})") from exc
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {SERVICE_NAME: SERVICE}
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._tally = Tally()
        exporter: Any = TallyingExporter(OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS), self._tally)
        delay = None if "OTEL_BSP_SCHEDULE_DELAY" in os.environ else DELAY_MS  # None: as that variable says
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=delay))
        self._tracer = self._provider.get_tracer(role)
        self._trace, self._propagator = trace, TraceContextTextMapPropagator()

    @classmethod
    def of(cls, endpoint: str, role: str) -> Spans | None:
        """Return one for an endpoint; None for "", which asks for no spans.

        Raises:
            ConfigError: the library is not installed.
        """
        return cls(endpoint, role) if endpoint else None

    def serve(self, name: str, headers: Mapping[str, str], attributes: Attributes) -> ServedSpan:
        """Begin the span of a request at the front, in the trace that its headers name or in one of its own."""
        context = self._propagator.extract({name.lower(): value for name, value in headers.items()})
        kind = self._trace.SpanKind.SERVER
        span = self._tracer.start_span(name, context=context, kind=kind, attributes=attributes)
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._trace.set_span_in_context(span, context))
        return ServedSpan(span, carrier.get("traceparent", ""), self._tally.end)

    def request(self, parent: str) -> RequestTrace:
        """Return the trace of a request of the model that comes now; `parent` is the front's traceparent."""
        return RequestTrace(parent, self._end)

    def close(self) -> None:
        """Send what is left, for CLOSE_SECONDS at most, and end; the log says how many spans no collector took."""
        sending = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        sending.start()
        sending.join(CLOSE_SECONDS)
        if left := self._tally.left:
            logger.warning("%d spans since the start are lost, which the collector did not take", left)

    def _end(self, trace: RequestTrace, attributes: Attributes, error_type: str) -> None:
        context = self._propagator.extract({"traceparent": trace.parent})
        name = f"{attributes['gen_ai.operation.name']} {attributes['gen_ai.request.model']}"
        span = self._tracer.start_span(name, context=context, attributes=attributes, start_time=trace.arrived)
        below = self._trace.set_span_in_context(span, context)
        for sequence in trace.sequences:
            mode: Attributes = {"trimode.mode": sequence.mode}
            self._one("queue", below, sequence.queued, sequence.began, mode)
            for stage in sequence.stages:
                self._one(stage.name, below, stage.began, stage.ended, {**mode, **stage.attributes})
        if error_type:
            _fail(span, error_type)
        self._tally.end(span)

    def _one(self, name: str, context: Any, began: int, ended: int, attributes: Attributes) -> None:
        span = self._tracer.start_span(name, context=context, attributes=attributes, start_time=began)
        self._tally.end(span, ended)


def _fail(span: Any, error_type: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, error_type))
