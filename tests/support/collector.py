"""A collector of spans on loopback: takes OTLP over HTTP and keeps what came."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Span:
    """One span: what names it, whose child it is, when it was, and what it says.

    Attributes:
        service: of the resource that made it.
    """

    def __init__(self, raw: Any, service: str) -> None:
        self.name, self.service = str(raw.name), service
        self.trace, self.id, self.parent = raw.trace_id.hex(), raw.span_id.hex(), raw.parent_span_id.hex()
        self.began, self.ended = int(raw.start_time_unix_nano), int(raw.end_time_unix_nano)
        self.kind, self.failed = int(raw.kind), raw.status.code == 2  # STATUS_CODE_ERROR
        self.says = {one.key: _value(one.value) for one in raw.attributes}


class Collector:
    """Where spans are sent to.

    Attributes:
        url: to be given as an endpoint.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._spans: list[Span] = []
        self._lock = threading.Lock()

    def take(self, body: bytes) -> None:
        found = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            for resource in found.resource_spans:
                named = {one.key: _value(one.value) for one in resource.resource.attributes}
                for scope in resource.scope_spans:
                    self._spans += [Span(raw, str(named.get("service.name"))) for raw in scope.spans]

    def spans(self, trace: str) -> list[Span]:
        """Those of a trace, in the order in which they began; of two that began together, the longer one first."""
        with self._lock:
            found = [span for span in self._spans if span.trace == trace]
        return sorted(found, key=lambda span: (span.began, -span.ended))

    @property
    def count(self) -> int:
        with self._lock:
            return len(self._spans)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Collect inside the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            content = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}/v1/traces")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _value(raw: Any) -> object:
    kind = raw.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in raw.array_value.values]
    return getattr(raw, kind)
