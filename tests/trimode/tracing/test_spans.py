"""Spans at a collector, and that nothing is imported where nobody asked for them."""

from __future__ import annotations

import builtins
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import Any

import pytest
from trimode.errors import ConfigError
from trimode.tracing import spans as spans_module
from trimode.tracing.spans import Spans

from tests.support.collector import Collector, Span, collecting

TRACE, ABOVE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAYS = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "nano"}


def test_without_an_endpoint_there_are_none() -> None:
    assert Spans.of("", "a test") is None


def test_without_an_endpoint_the_library_is_not_imported() -> None:
    modules = "trimode.server.cli, trimode.runtime, trimode.triton.traced, trimode.tracing.spans"
    code = f"import sys, {modules}; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def none(name: str, *rest: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(f"no {name}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(ConfigError, match=r"--otlp-traces-endpoint needs the packages of the extra `tracing`"):
        Spans.of("http://127.0.0.1:1/v1/traces", "a test")


def sent(collector: Collector, trace: str = TRACE) -> list[Span]:
    return collector.spans(trace)


def test_a_request_is_below_the_front_which_is_below_its_caller() -> None:
    with collecting() as collector:
        spans = Spans(collector.url, "a test")
        front = spans.serve("POST /a", {"Traceparent": f"00-{TRACE}-{ABOVE}-01"}, {"url.path": "/a"})
        trace = spans.request(front.traceparent)
        trace.begin("diffusion").passed("denoise", 4)
        trace.end(trace, dict(SAYS), "")
        front.answered(200)
        front.end()
        spans.close()
        served, model, queue, denoise = sent(collector)
    assert (served.parent, model.parent, queue.parent, denoise.parent) == (ABOVE, served.id, model.id, model.id)
    assert (served.name, model.name, queue.name, denoise.name) == ("POST /a", "chat nano", "queue", "denoise")
    assert served.says == {"url.path": "/a", "http.response.status_code": 200} and model.says == SAYS


def test_an_error_is_named_at_both_ends() -> None:
    with collecting() as collector:
        spans = Spans(collector.url, "a test")
        front = spans.serve("POST /a", {"traceparent": f"00-{TRACE}-{ABOVE}-01"}, {})
        trace = spans.request(front.traceparent)
        trace.end(trace, dict(SAYS), "cancelled")
        front.failed("unavailable")
        front.end()
        spans.close()
        served, model = sent(collector)
    assert (served.failed, served.says["error.type"]) == (True, "unavailable")
    assert (model.failed, model.says["error.type"]) == (True, "cancelled")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What we log; the library logs by itself."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("trimode")]


def test_a_collector_that_does_not_answer_holds_up_no_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spans_module, "EXPORT_SECONDS", 3600)
    monkeypatch.setattr(spans_module, "CLOSE_SECONDS", 0.01)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        spans = Spans(f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces", "a test")
        for flags in ("01", "01", "00"):
            spans.serve("POST /a", {"traceparent": f"00-{TRACE}-{ABOVE}-{flags}"}, {}).end()
        spans.close()
        assert [thread.name for thread in threading.enumerate()].count("last-spans") == 1  # nobody waits for it
    assert said(caplog) == ["2 spans since the start are lost, which the collector did not take"]


def test_what_a_collector_took_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    with collecting() as collector:
        spans = Spans(collector.url, "a test")
        spans.serve("POST /a", {}, {}).end()
        spans.close()
        assert collector.count == 1
    assert said(caplog) == []


def test_a_sequence_is_queued_from_when_it_was_made_if_others_had_a_slot_before() -> None:
    with collecting() as collector:
        spans = Spans(collector.url, "a test")
        trace = spans.request(f"00-{TRACE}-{ABOVE}-01")
        together = [time.time_ns(), time.time_ns()]
        first = trace.begin("infill", together[0])
        trace.begin("infill", together[1])
        later = first.began + 1
        trace.begin("infill", later)
        trace.end(trace, dict(SAYS), "")
        spans.close()
        queues = [span.began for span in sent(collector) if span.name == "queue"]
    assert sorted(queues) == [trace.arrived, trace.arrived, later]
