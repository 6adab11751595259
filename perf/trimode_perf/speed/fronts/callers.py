"""Callers that add little of their own: a gRPC stream that stays open, and a kept HTTP connection. Both count.

Messages stay bytes; of a gRPC response nothing is read but whether it is the last.
"""

from __future__ import annotations

import http.client
import json
import queue
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from trimode.api.tensors import MODEL_NAME
from tritonclient.grpc import service_pb2 as pb

from ...common.progress import MeasureError
from .behind import SOCKET

SECONDS = 120.0
"""For one answer over HTTP."""
STREAM_SECONDS = 3600.0
"""For a gRPC stream, which stays open for a whole part: longer than any."""
METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"
FINAL = "triton_final_response"
EVENT = b"data: "
KINDS = {bool: ("BOOL", "bool_contents"), int: ("INT32", "int_contents"), str: ("BYTES", "bytes_contents")}
"""Datatype and place of a tensor's value."""


@dataclass(frozen=True)
class Taken:
    """How one answer came: its responses or events, seconds to the first, and from the first to the last."""

    count: int
    first: float
    rest: float

    @classmethod
    def of(cls, parts: Iterable[object]) -> Taken:
        """Time `parts` as they come; asking has just begun.

        Raises:
            MeasureError: there are none.
        """
        began = time.perf_counter()
        first = last = 0.0
        count = 0
        for _ in parts:
            last = time.perf_counter()
            first = first or last
            count += 1
        if not count:
            raise MeasureError("the server answered nothing")
        return cls(count, first - began, last - first)

    @property
    def seconds(self) -> float:
        """From asking to the end."""
        return self.first + self.rest


def message(fields: Mapping[str, Any]) -> bytes:
    """Return the ModelInferRequest with these fields, which asks Triton to mark the last response."""
    made = pb.ModelInferRequest(model_name=MODEL_NAME, id="1")
    made.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in fields.items():
        datatype, place = KINDS[type(value)]
        tensor = made.inputs.add(name=name, datatype=datatype, shape=[1])
        getattr(tensor.contents, place).append(value.encode("utf-8") if isinstance(value, str) else value)
    data: bytes = made.SerializeToString()
    return data


class GrpcCaller:
    """One ModelStreamInfer stream to a gRPC target."""

    def __init__(self, target: str) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),))
        open_stream: Any = self._channel.stream_stream(METHOD)
        self._call = open_stream(iter(self._requests.get, None), timeout=STREAM_SECONDS)

    def ask(self, request: bytes) -> Taken:
        """Send what `message` made, and time the responses."""
        self._requests.put(request)
        return Taken.of(self._responses())

    def _responses(self) -> Iterator[bytes]:
        for response in self._call:
            last = False
            if FINAL.encode() in response:
                read = pb.ModelStreamInferResponse.FromString(response)
                if read.error_message:
                    raise MeasureError(f"the server answered: {read.error_message}")
                last = read.infer_response.parameters[FINAL].bool_param
            yield response
            if last:
                return

    def close(self) -> None:
        """End the stream."""
        self._requests.put(None)
        self._call.cancel()
        self._channel.close()


class HttpCaller:
    """One connection to host:port, or to a socket (`unix:` and its path)."""

    def __init__(self, address: str) -> None:
        self._connection = (
            _OverSocket(address) if address.startswith(SOCKET) else http.client.HTTPConnection(address, timeout=SECONDS)
        )

    def ask(self, path: str, body: Mapping[str, Any]) -> Taken:
        """Send `body` as JSON, and time the events of the answer, or the answer if it has none."""
        data = json.dumps(body).encode()
        return Taken.of(self._parts(path, data))

    def _parts(self, path: str, data: bytes) -> Iterator[bytes]:
        self._connection.request("POST", path, data, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        if answer.status != http.client.OK:
            raise MeasureError(f"{path} answered {answer.status}: {answer.read()[:400]!r}")
        if "event-stream" not in answer.headers.get("Content-Type", ""):
            yield answer.read()
            return
        while line := answer.readline():
            if line.startswith(EVENT):
                yield line

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()


class _OverSocket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, address: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = address.removeprefix(SOCKET)

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)
