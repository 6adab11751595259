"""Fake servers for the client's tests: a script of messages behind a real gRPC or HTTP socket.

Knows the protocols' framing only, so that stalls, broken streams and empty final responses can be played.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import grpc
from trimode_client.transports.tensors import pack
from tritonclient.grpc import service_pb2, service_pb2_grpc

STALL = object()  # wait until the client leaves
BREAK = object()  # end the connection at once
EMPTY_FINAL = object()  # gRPC: a final response without outputs
FIRST = {"text_output": "Hel", "output_ids": [1, 2]}
LAST = {"text_output": "lo", "output_ids": [3], "finish_reason": "stop", "num_output_tokens": 3, "forwards": 2}
FILLED = LAST | {"text_output": "bc", "fills": ["b", "c"], "infill_candidates": "[[],[]]"}
REVISED = LAST | {"text_output": "ab", "edits": '[{"start":1,"end":2,"before":"x","after":"b"}]'}
_DTYPES = {int: "INT32", str: "BYTES", float: "FP32"}


class Script:
    """What the server plays for each request, and what it saw."""

    def __init__(self, *steps: object) -> None:
        self.steps = steps
        self.requests: list[Any] = []
        self.left = threading.Event()
        self.closing = threading.Event()


def message(step: object, *, final: bool) -> Any:
    """Return the ModelStreamInferResponse for a dict of outputs, an error text, or EMPTY_FINAL."""
    response = service_pb2.ModelStreamInferResponse()
    if isinstance(step, str):
        response.error_message = step
        return response
    for name, value in step.items() if isinstance(step, dict) else ():
        values = value if isinstance(value, list) else [value]
        dtype = _DTYPES[type(values[0])]
        response.infer_response.outputs.add(name=name, datatype=dtype, shape=[len(values)])
        response.infer_response.raw_output_contents.append(pack(dtype, values))
    response.infer_response.parameters["triton_final_response"].bool_param = final
    return response


@contextmanager
def grpc_server(script: Script) -> Iterator[str]:
    """Serve `script` over gRPC, give the address; finish_reason carries the final flag unless EMPTY_FINAL follows."""

    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
        def ModelStreamInfer(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
            context.add_callback(script.left.set)
            script.requests += list(requests)
            for step in script.steps:
                if step is STALL:
                    script.closing.wait(10)
                    return
                if step is BREAK:
                    return
                last = isinstance(step, dict) and "finish_reason" in step
                final = step is EMPTY_FINAL or (EMPTY_FINAL not in script.steps and last)
                yield message(step, final=final)

        def ServerLive(self, request: Any, context: Any) -> Any:
            return service_pb2.ServerLiveResponse(live=True)

        def ServerReady(self, request: Any, context: Any) -> Any:
            return service_pb2.ServerReadyResponse(ready=True)

        def ModelReady(self, request: Any, context: Any) -> Any:
            return service_pb2.ModelReadyResponse(ready=False)

    server = grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        script.closing.set()
        server.stop(0).wait()


@contextmanager
def http_server(script: Script, status: int = 200) -> Iterator[str]:
    """Serve `script` over HTTP and give the address: events when a stream is asked for, else the first step as JSON."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        paths: ClassVar[list[str]] = []

        def do_GET(self) -> None:
            self._whole(200 if self.path.startswith("/v2/health") else 400, b"")

        def do_POST(self) -> None:
            script.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if status != 200 or not self.path.endswith("generate_stream"):
                step = script.steps[0]
                if step is STALL:
                    script.closing.wait(10)
                    return
                self._whole(status, step.encode() if isinstance(step, str) else json.dumps(step).encode())
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                self._events()
            except OSError:
                script.left.set()

        def _events(self) -> None:
            for step in script.steps:
                if step is BREAK:
                    self.close_connection = True
                    return
                if step is STALL:
                    self._wait_for_leave()
                    return
                event = b"data: " + json.dumps({"error": step} if isinstance(step, str) else step).encode() + b"\n\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.write(b"0\r\n\r\n")

        def _wait_for_leave(self) -> None:
            self.close_connection = True
            self.connection.settimeout(10)
            if self.connection.recv(1) == b"":
                script.left.set()

        def _whole(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        script.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


SERVERS = {"grpc": grpc_server, "http": http_server}
