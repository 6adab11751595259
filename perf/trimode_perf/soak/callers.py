"""Callers over every face of the server: who reads an answer to its end, who reads slowly, who leaves.

Knows the wire. Compares nothing.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import grpc
from trimode.api.tensors import MODEL_NAME
from trimode_client.local_server import Addresses
from trimode_client.transports.tensors import decode, encode
from tritonclient.grpc import service_pb2_grpc

from .requests import CHAT, Request, as_openai

SECONDS = 900.0
"""A caller that hears nothing for so long counts its answer as lost; on a machine that is busy some take minutes."""
SLOW_BYTES, SLOW_SECONDS = 512, 0.01
"""What a slow reader takes at once, and how long it waits then."""
EVENT, DONE = b"data: ", b"[DONE]"
GENERATE = f"/v2/models/{MODEL_NAME}/generate"


class LostError(Exception):
    """An answer that ended without an end or an error."""


@dataclass
class Heard:
    """What came so far: the text, why it ended, and the type of the error if one came."""

    text: str = ""
    finish: str = ""
    error: str = ""


Way = Callable[["Caller", Request, bool], Iterator[str]]


class Caller:
    """One caller: a gRPC channel that it keeps, and a connection for each request over HTTP."""

    def __init__(self, at: Addresses, model: str) -> None:
        self._http, self._model = at.http, model
        self._channel = grpc.insecure_channel(at.grpc, options=(("grpc.use_local_subchannel_pool", 1),))
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self.heard = Heard()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def ask(self, way: Way, request: Request, *, slow: bool = False) -> Iterator[str]:
        """Send `request`, and yield each piece of its text; closing the iterator is leaving. See `heard` then.

        Raises:
            LostError: the answer ended without an end.
        """
        self.heard = Heard()
        for text in way(self, request, slow):
            self.heard.text += text
            yield text
        if not (self.heard.finish or self.heard.error):
            raise LostError(f"the answer ended after {len(self.heard.text)} characters")

    def over_http(self, request: Request, slow: bool) -> Iterator[str]:
        """One answer as JSON."""
        (answer,) = self._post(GENERATE, _wanted(request), slow)
        yield self._note(answer)

    def by_events(self, request: Request, slow: bool) -> Iterator[str]:
        """Server-sent events of Triton's face."""
        for event in self._post(f"{GENERATE}_stream", {**_wanted(request), "stream": True}, slow):
            yield self._note(event)

    def over_grpc(self, request: Request, slow: bool) -> Iterator[str]:
        """A stream of responses; closing it cancels the request."""
        made = encode(MODEL_NAME, {**_wanted(request), "stream": True})
        call = self._stub.ModelStreamInfer(iter([made]), timeout=SECONDS)
        try:
            for message in call:
                if message.error_message:
                    self.heard.error = message.error_message.partition(":")[0]
                else:
                    yield self._note(decode(message.infer_response))
                if slow:
                    time.sleep(SLOW_SECONDS)
        finally:
            call.cancel()

    def over_openai(self, request: Request, slow: bool) -> Iterator[str]:
        """One answer of OpenAI's API."""
        (answer,) = self._post(f"/v1/{_path(request)}", as_openai(request, self._model), slow)
        yield self._note_openai(answer)

    def by_openai_events(self, request: Request, slow: bool) -> Iterator[str]:
        """The chunks of OpenAI's API."""
        body = {**as_openai(request, self._model), "stream": True}
        for event in self._post(f"/v1/{_path(request)}", body, slow):
            yield self._note_openai(event)

    def _note(self, answer: Mapping[str, Any]) -> str:
        if "error" in answer:
            self.heard.error = str(answer["error"]).partition(":")[0]
            return ""
        self.heard.finish = str(answer.get("finish_reason") or self.heard.finish)
        return str(answer.get("text_output", ""))

    def _note_openai(self, answer: Mapping[str, Any]) -> str:
        if "error" in answer:
            self.heard.error = str(answer["error"].get("code") or answer["error"].get("type"))
            return ""
        text = ""
        for choice in answer["choices"]:
            self.heard.finish = choice.get("finish_reason") or self.heard.finish
            said = choice.get("message") or choice.get("delta") or {}
            text += choice.get("text") or said.get("content") or ""
        return text

    def _post(self, path: str, body: Mapping[str, Any], slow: bool) -> Iterator[dict[str, Any]]:
        """Yield the answer, or each event of it that is an object."""
        with closing(http.client.HTTPConnection(self._http, timeout=SECONDS)) as connection:
            connection.connect()
            if slow:
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BYTES)
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if "event-stream" not in (answer.headers.get("Content-Type") or ""):
                yield json.loads(b"".join(_read(answer, slow)))
                return
            left = b""
            for part in _read(answer, slow):
                *lines, left = (left + part).split(b"\n")
                for line in lines:
                    if line.startswith(EVENT) and (data := line[len(EVENT) :].strip()) != DONE:
                        yield json.loads(data)


WAYS: dict[str, Way] = {
    "HTTP": Caller.over_http,
    "HTTP events": Caller.by_events,
    "gRPC": Caller.over_grpc,
    "OpenAI": Caller.over_openai,
    "OpenAI events": Caller.by_openai_events,
}
STREAMED = ("HTTP events", "gRPC", "OpenAI events")
"""The ways whose answers come in pieces."""


def ways_of(request: Request) -> list[str]:
    """Return the names of the ways over which `request` can be sent."""
    return [name for name in WAYS if request.openai or not name.startswith("OpenAI")]


def _wanted(request: Request) -> dict[str, Any]:
    return {**request.fields, "return_finish_reason": True}


def _path(request: Request) -> str:
    return "chat/completions" if request.openai == CHAT else "completions"


def _read(answer: http.client.HTTPResponse, slow: bool) -> Iterator[bytes]:
    while part := answer.read1(SLOW_BYTES if slow else 65536):
        yield part
        if slow:
            time.sleep(SLOW_SECONDS)
