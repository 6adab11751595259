"""What counts as a fault of a server, by a server that is a script."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

import grpc
import pytest
from trimode.api.tensors import MODEL_NAME
from trimode_client.local_server import Addresses
from trimode_perf.fuzz.bodies import fields_of
from trimode_perf.fuzz.faces import Fuzzer, Outcome, message_of, said
from tritonclient.grpc import service_pb2 as pb


class Script(BaseHTTPRequestHandler):
    status, body = 200, b"{}"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.status == 0:
            self.close_connection = True
            return
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def fuzzer() -> Iterator[Fuzzer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Script)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = Fuzzer(Addresses(grpc="127.0.0.1:1", http=f"127.0.0.1:{server.server_port}"), Random(0))
    yield made
    made.close()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "word", "fault"),
    [
        (200, b"{}", "200", ""),
        (400, b'{"error": "invalid_value: x"}', "400", ""),
        (503, b'{"error": "overloaded: x"}', "503", ""),
        (500, b'{"error": "internal: x"}', "500", "500"),
        (404, b"<html>", "404", "is not JSON"),
        (0, b"", "lost", "RemoteDisconnected"),
    ],
)
def test_what_came_is_a_word_and_perhaps_a_fault(
    fuzzer: Fuzzer, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, word: str, fault: str
) -> None:
    monkeypatch.setattr(Script, "status", status)
    monkeypatch.setattr(Script, "body", body)
    outcome = fuzzer.faces["HTTP"]()
    assert outcome.word == word
    assert (fault in outcome.fault) if fault else outcome.fault == ""


def test_a_call_that_nobody_answers_is_a_fault(fuzzer: Fuzzer) -> None:
    outcome = fuzzer.faces["gRPC"]()
    assert outcome.word == "UNAVAILABLE" and "gRPC ended with UNAVAILABLE" in outcome.fault


class Refusing(grpc.GenericRpcHandler):
    """Ends every stream with a status."""

    status, details = grpc.StatusCode.CANCELLED, ""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        def end(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            next(requests)
            context.abort(self.status, self.details)

        return grpc.stream_stream_rpc_method_handler(end)


@pytest.mark.parametrize(
    ("status", "details", "fault"),
    [
        (grpc.StatusCode.UNAVAILABLE, "unavailable: the server is stopping", False),
        (grpc.StatusCode.INVALID_ARGUMENT, "invalid_value: cut", False),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", True),
        (grpc.StatusCode.CANCELLED, "", True),
        (grpc.StatusCode.INVALID_ARGUMENT, "wrong", True),
        (grpc.StatusCode.UNAVAILABLE, "engine_failed: it died", True),
    ],
)
def test_a_status_is_a_refusal_where_it_names_an_error_type(
    monkeypatch: pytest.MonkeyPatch, status: grpc.StatusCode, details: str, fault: bool
) -> None:
    monkeypatch.setattr(Refusing, "status", status)
    monkeypatch.setattr(Refusing, "details", details)
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Refusing(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with closing(Fuzzer(Addresses(grpc=f"127.0.0.1:{port}", http="127.0.0.1:1"), Random(0))) as fuzzer:
            outcome = fuzzer.faces["gRPC"]()
    finally:
        server.stop(None).wait(60)
    assert outcome.word == status.name
    assert bool(outcome.fault) is fault


def test_messages_hold_tensors_or_are_damaged() -> None:
    draw = Random(0)
    read = 0
    for _ in range(300):
        try:
            read += pb.ModelInferRequest.FromString(message_of(fields_of(draw), draw)).model_name == MODEL_NAME
        except Exception:  # damaged
            continue
    assert read > 200


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("", Outcome("an answer")),
        ("wrong_type: max_tokens", Outcome("wrong_type")),
        ("internal: what", Outcome("internal", "gRPC answered 'internal: what' to b'ab'")),
        ("what", Outcome("untyped", "gRPC answered 'what' to b'ab'")),
    ],
)
def test_a_response_is_an_answer_or_names_its_error(error: str, outcome: Outcome) -> None:
    assert said(error, b"ab") == outcome
