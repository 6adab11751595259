"""Spans at a collector, and that nothing is imported where nobody asked for them."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import pytest
from trimode.errors import ConfigError
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
