"""Spans of a real server, at a collector on loopback: the tree of each request, by every way and mode."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.server.server import Server, wait_until
from tests.server.wire import PATH, GrpcStream, send
from tests.support.collector import Collector, Span, collecting

SERVER, INTERNAL = 2, 1
"""Kinds of spans, as OTLP numbers them."""
MODES = ("autoregressive", "diffusion", "self_speculation")
CYCLES = {
    "autoregressive": {"decode"},
    "diffusion": {"denoise", "denoise, commit"},
    "self_speculation": {"draft, verify"},
}
ASKED = {"input_ids": [5, 6, 7], "max_tokens": 24, "end_id": -1}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def traced(bundle: Path, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("traced") / "log"
    with Server(bundle, log, "--otlp-traces-endpoint", collector.url) as made:
        yield made


def by_http(server: Server, asked: dict[str, Any], parent: str) -> None:
    status, _ = send(server.http_port, "POST", f"{PATH}/generate", json.dumps(asked).encode(), traceparent=parent)
    assert status == 200


def by_events(server: Server, asked: dict[str, Any], parent: str) -> None:
    body = json.dumps({**asked, "stream": True}).encode()
    status, _ = send(server.http_port, "POST", f"{PATH}/generate_stream", body, traceparent=parent)
    assert status == 200


def by_grpc(server: Server, asked: dict[str, Any], parent: str) -> None:
    with GrpcStream(server.grpc_port, traceparent=parent) as stream:
        stream.send(asked)
        assert list(stream.answers())


def by_openai(server: Server, asked: dict[str, Any], parent: str, *, stream: bool = False) -> None:
    body = {"prompt": asked["input_ids"], "max_tokens": asked["max_tokens"], "mode": asked["mode"], "ignore_eos": True}
    sent = json.dumps({**body, "stream": stream}).encode()
    assert send(server.http_port, "POST", "/v1/completions", sent, traceparent=parent)[0] == 200


def by_openais_events(server: Server, asked: dict[str, Any], parent: str) -> None:
    by_openai(server, asked, parent, stream=True)


WAYS: dict[str, Callable[[Server, dict[str, Any], str], None]] = {
    "POST /v2/models/nemotron_diffusion/generate": by_http,
    "POST /v2/models/nemotron_diffusion/generate_stream": by_events,
    "inference.GRPCInferenceService/ModelStreamInfer": by_grpc,
    "POST /v1/completions": by_openai,
    "POST /v1/completions ": by_openais_events,
}
"""Ways by the names of their spans."""


def of_trace(collector: Collector, trace: str, server: Server) -> list[Span]:
    """The spans of a trace, once the front's and the model's are there."""

    def whole() -> bool:
        found = collector.spans(trace)
        ids = {span.id for span in found}
        return any(span.kind == SERVER for span in found) and any(
            span.kind == INTERNAL and span.parent in ids and "gen_ai.operation.name" in span.says for span in found
        )

    wait_until(whole, server.log.read_text, 60)
    return collector.spans(trace)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("mode", MODES)
def test_a_request_is_a_tree_of_spans(collector: Collector, traced: Server, name: str, mode: str) -> None:
    trace, above = secrets.token_hex(16), secrets.token_hex(8)
    WAYS[name](traced, {**ASKED, "mode": mode}, f"00-{trace}-{above}-01")
    found = of_trace(collector, trace, traced)
    front, model = found[0], found[1]
    assert (front.name, front.parent, front.kind, front.service) == (name.strip(), above, SERVER, "trimode")
    assert (model.name, model.parent, model.kind) == ("text_completion nano", front.id, INTERNAL)
    assert front.began <= model.began <= model.ended and not front.failed and not model.failed
    assert model.says["gen_ai.request.model"] == "nano" and model.says["trimode.mode"] == mode
    assert (model.says["gen_ai.usage.input_tokens"], model.says["gen_ai.usage.output_tokens"]) == (3, 24)
    assert model.says["gen_ai.response.finish_reasons"] == ["length"]
    queue, prefill, *cycles = found[2:]
    assert {span.parent for span in (queue, prefill, *cycles)} == {model.id}
    assert (queue.name, prefill.name) == ("queue", "prefill")
    assert queue.began == model.began and queue.ended == prefill.began
    assert cycles and {span.name for span in cycles} <= CYCLES[mode]
    assert all(one.ended == other.began for one, other in pairwise((prefill, *cycles)))
    after = [span.says for span in cycles]
    assert sum(int(str(says["trimode.forwards"])) for says in after) == model.says["trimode.forwards"]
    assert sum(int(str(says["trimode.tokens"])) for says in (prefill.says, *after)) == 24
    drafted = sum(int(str(says.get("trimode.drafted_tokens", 0))) for says in after)
    assert drafted == model.says["trimode.drafted_tokens"] and (drafted > 0) is (mode == "self_speculation")


def test_a_request_without_a_trace_begins_one(collector: Collector, traced: Server) -> None:
    before = collector.count
    assert send(traced.http_port, "POST", f"{PATH}/generate", json.dumps(ASKED).encode())[0] == 200
    wait_until(lambda: collector.count > before, traced.log.read_text, 60)


def test_a_trace_that_is_not_sampled_has_no_spans(collector: Collector, traced: Server) -> None:
    unsampled, sampled = secrets.token_hex(16), secrets.token_hex(16)
    for trace, flags in ((unsampled, "00"), (sampled, "01")):
        by_http(traced, {**ASKED, "mode": "autoregressive"}, f"00-{trace}-{secrets.token_hex(8)}-{flags}")
    of_trace(collector, sampled, traced)  # which came later
    assert collector.spans(unsampled) == []


@pytest.mark.parametrize("asked", [{"max_tokens": 0}, {"input_ids": [2**31 - 1]}], ids=["front", "model"])
def test_a_refused_request_has_the_type_of_its_error(
    collector: Collector, traced: Server, asked: dict[str, Any]
) -> None:
    trace = secrets.token_hex(16)
    body = json.dumps({**ASKED, **asked}).encode()
    parent = f"00-{trace}-{secrets.token_hex(8)}-01"
    assert send(traced.http_port, "POST", f"{PATH}/generate", body, traceparent=parent)[0] == 400
    wait_until(lambda: bool(collector.spans(trace)), traced.log.read_text, 60)
    wait_until(
        lambda: any(span.says.get("error.type") == "invalid_value" for span in collector.spans(trace)),
        lambda: str([vars(span) for span in collector.spans(trace)]),
        60,
    )
    wait_until(
        lambda: any(span.says.get("http.response.status_code") == 400 for span in collector.spans(trace)),
        lambda: str([vars(span) for span in collector.spans(trace)]),
        60,
    )


def test_each_gap_has_its_sequences(collector: Collector, traced: Server) -> None:
    trace = secrets.token_hex(16)
    asked = {"segments": ["Once ", {"infill_tokens": 4}, " time."]}
    by_http(traced, asked, f"00-{trace}-{secrets.token_hex(8)}-01")
    found = of_trace(collector, trace, traced)
    assert {"queue", "prefill"} <= {span.name for span in found[2:]}
    assert {span.parent for span in found[2:]} == {found[1].id}
