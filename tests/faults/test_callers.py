"""Callers that misbehave: idle ones without number, slow and unfinished requests, slow readers, callers that leave.

Others are answered meanwhile, or afterwards where the fault took all there was, and nothing of theirs stays.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from trimode.api.tensors import MODEL_NAME
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.faults.callers import LONG, SHORT, WAYS, Crowd, over_grpc, seconds_to_serve
from tests.faults.conftest import Record
from tests.server.server import Server, wait_until
from tests.server.wire import PATH, GrpcStream, events, generate, tensor

IDLE = 300
ROUNDS = 60  # of one stream: a good request and one for what is not there
FEW_FILES = 256
HEAD = f"POST {PATH}/generate HTTP/1.1\r\nHost: x\r\n".encode()


def connected(server: Server, sent: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.http_port), timeout=30)
    made.sendall(sent)
    return made


@pytest.mark.parametrize("target", ["HTTP", "gRPC"])
def test_idle_connections_take_all_files(
    bundle: Path, starter: Callable[..., Server], right: dict[str, str], record: Record, target: str
) -> None:
    server = starter(bundle)
    before = {server.triton, server.stub}
    psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE, (FEW_FILES, 20000))
    port = server.http_port if target == "HTTP" else server.grpc_port
    with ExitStack() as stack:
        for _ in range(IDLE):
            made = socket.socket()
            stack.callback(made.close)
            made.settimeout(0.2)
            made.connect_ex(("127.0.0.1", port))
        time.sleep(2)  # for whoever looks after the server to look with no file to spare
        assert server.process.poll() is None, server.log.read_text()
    since = time.monotonic()
    for way in WAYS:
        seconds = seconds_to_serve(server, way, right["short"], since)
        record(f"{IDLE} idle connections to {target} for {FEW_FILES} files, once they are closed", way, seconds)
    assert {server.triton, server.stub} == before, "the backend was replaced for want of files"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"P",
        HEAD,
        HEAD + b"Content-Length: 10\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
    ids=["nothing", "one byte", "half a head", "half a body", "half a chunk"],
)
def test_unfinished_requests_keep_nobody_out(server: Server, right: dict[str, str], sent: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(closing(connected(server, sent)))
        with Crowd(server, SHORT, right["short"], each=1) as crowd:
            wait_until(lambda: crowd.answered > 4, lambda: "nothing is answered")
        assert not crowd.errors


GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The first bytes of an HTTP/2 connection."""


@pytest.mark.parametrize(
    ("target", "held", "asked"),
    [("HTTP", HEAD, b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n"), ("gRPC", GREETING, GREETING)],
    ids=["HTTP", "gRPC"],
)
def test_a_caller_that_holds_all_connections_keeps_no_other_address_out(
    bundle: Path,
    starter: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    held: bytes,
    asked: bytes,
) -> None:
    monkeypatch.setattr(Server, "under", ("sh", "-c", f'ulimit -n {FEW_FILES}; exec "$@"', "sh"))  # so that few are all
    server = starter(bundle)
    port = server.http_port if target == "HTTP" else server.grpc_port
    attempts = 0
    with ExitStack() as stack:
        for _ in range(100):
            with suppress(ConnectionError):  # refused: all are held
                stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), timeout=30))).sendall(held)

        def answered() -> bool:
            nonlocal attempts
            attempts += 1
            other = socket.create_connection(("127.0.0.1", port), 30, ("127.0.0.2", 0))
            with closing(other), suppress(ConnectionError):
                other.sendall(asked)
                return other.recv(65536).startswith((b"HTTP/1.1 200", b"\0"))  # \0: a frame of HTTP/2
            return False

        wait_until(answered, lambda: "another address is kept out")
    assert target == "gRPC" or attempts == 1
    assert server.stop() == 0


def test_a_request_that_comes_byte_by_byte_is_answered(server: Server, right: dict[str, str]) -> None:
    body = json.dumps(SHORT).encode()
    request = HEAD + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    with closing(connected(server)) as slow:
        for at in range(len(request)):
            slow.sendall(request[at : at + 1])
            time.sleep(0.002)
        answer = b"".join(iter(lambda: slow.recv(65536), b""))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["text_output"] == right["short"]


@pytest.mark.parametrize("way", WAYS)
def test_callers_that_leave_in_the_middle_leave_nothing_running(
    server: Server, right: dict[str, str], way: str
) -> None:
    for _ in range(5):
        with ExitStack() as stack:
            for _ in range(4):
                if way == "HTTP":
                    left = events(server.http_port, LONG)
                    stack.callback(left.close)  # type: ignore[attr-defined]  # a generator
                    next(left)
                else:
                    stream = stack.enter_context(GrpcStream(server.grpc_port))
                    stream.send(LONG)
                    next(stream.answers())
    server.settle()
    answer = WAYS[way](server, SHORT)
    answer.check(right["short"])
    assert answer.whole


def test_a_slow_reader_of_events_gets_all_of_them_and_holds_nobody_up(server: Server, right: dict[str, str]) -> None:
    body = json.dumps(LONG).encode()
    head = (
        f"POST {PATH}/generate_stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with closing(socket.socket()) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(60)
        slow.connect(("127.0.0.1", server.http_port))
        slow.sendall(head.encode() + body)
        with Crowd(server, SHORT, right["short"], each=1) as crowd:
            wait_until(lambda: crowd.answered > 20, lambda: "nothing is answered")
        assert not crowd.errors
        lines = b"".join(iter(lambda: slow.recv(65536), b"")).splitlines()
    parts = [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]
    assert "".join(part["text_output"] for part in parts) == right["long"]


def test_a_slow_reader_of_grpc_gets_all_of_it_and_holds_nobody_up(server: Server, right: dict[str, str]) -> None:
    request = service_pb2.ModelInferRequest(model_name=MODEL_NAME)
    for name, value in LONG.items():
        made = tensor(name, value)
        request.inputs.append(made._get_tensor())
        request.raw_input_contents.append(made._get_content())
    asked = threading.Event()

    def requests() -> Iterator[Any]:
        yield request
        asked.wait(60)  # an open stream: the caller is not done

    options = (("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0))
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options=options) as channel:
        stream = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(requests())
        with Crowd(server, SHORT, right["short"], each=1) as crowd:
            wait_until(lambda: crowd.answered > 20, lambda: "nothing is answered")
        assert not crowd.errors
        asked.set()
        texts = []
        for response in stream:
            assert not response.error_message, response.error_message
            outputs = [output.name for output in response.infer_response.outputs]
            if "text_output" in outputs:
                raw = response.infer_response.raw_output_contents[outputs.index("text_output")]
                texts.append(raw[4:].decode())  # after the length of the one string
    assert "".join(texts) == right["long"]


def message(model: str, version: str, fields: dict[str, Any]) -> Any:
    made = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    made.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in fields.items():
        one = tensor(name, value)
        made.inputs.append(one._get_tensor())
        made.raw_input_contents.append(one._get_content())
    return made


def whole_text(answers: Iterator[Any]) -> str:
    """The text of one answer on a stream that goes on."""
    text, final = "", False
    while not final:
        part = next(answers).infer_response
        names = [output.name for output in part.outputs]
        if "text_output" in names:
            text += part.raw_output_contents[names.index("text_output")][4:].decode()  # after the length of the string
        final = part.parameters["triton_final_response"].bool_param
    return text


def test_unknown_models_on_streams_that_were_answered_hurt_nobody(server: Server, right: dict[str, str]) -> None:
    """Triton 2.51 by itself ends at one of some hundred of these."""
    server.settle()
    before = {server.triton, server.stub}
    texts: list[str] = []
    errors: Counter[str] = Counter()

    def alternate() -> None:
        asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            answers = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(asked.get, None))
            for at in range(ROUNDS):
                asked.put(message(MODEL_NAME, "", SHORT | {"max_tokens": 2}))
                texts.append(whole_text(answers))
                asked.put(message("x", "", SHORT) if at % 2 else message(MODEL_NAME, "9", SHORT))
                errors[next(answers).error_message.partition(":")[0]] += 1
            asked.put(None)

    threads = [threading.Thread(target=alternate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert errors == {"not_found": 4 * ROUNDS}
    assert len(texts) == 4 * ROUNDS
    assert all(text and right["short"].startswith(text) for text in texts)
    assert {server.triton, server.stub} == before


def test_a_message_of_fifty_megabytes_leaves_no_memory_taken(server: Server, right: dict[str, str]) -> None:
    server.settle()
    held = [server.triton, server.stub, psutil.Process(server.process.pid)]
    before = sum(process.memory_info().rss for process in held)
    files = sum(file.stat().st_size for file in server.shared_memory())
    for _ in range(3):
        answer = over_grpc(server, SHORT | {"text_input": "x" * 50_000_000})
        assert (answer.text, answer.error_type) == ("", "too_large")
        assert over_grpc(server, SHORT).text == right["short"]
    server.settle()
    assert sum(file.stat().st_size for file in server.shared_memory()) == files
    assert sum(process.memory_info().rss for process in held) - before < 30 * 2**20


def test_a_full_queue_and_a_deadline_answer_every_request(
    bundle: Path, starter: Callable[..., Server], right: dict[str, str]
) -> None:
    server = starter(bundle, TRIMODE_MAX_SLOTS="1", TRIMODE_MAX_QUEUE="1")
    with Crowd(server, LONG | {"max_tokens": 200}, _start(server, 200), each=6) as crowd:
        wait_until(lambda: crowd.answered > 3 and bool(crowd.errors), lambda: f"{crowd.answered} {crowd.errors}")
    assert set(crowd.errors) == {"overloaded"}
    for way in WAYS.values():
        late = way(server, LONG | {"timeout_ms": 50})
        late.check(right["long"])
        assert late.error_type == "deadline_exceeded"
    server.settle()
    assert server.stop() == 0


def _start(server: Server, tokens: int) -> str:
    status, body = generate(server.http_port, {**LONG, "max_tokens": tokens, "stream": False})
    assert status == 200
    text: str = body["text_output"]
    return text
