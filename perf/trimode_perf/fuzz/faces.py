"""A caller that sends requests by chance over HTTP, OpenAI's API and gRPC, and says what came of each.

Each is a whole request of its protocol: what is damaged is what it holds. Compares nothing.
"""

from __future__ import annotations

import http.client
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import grpc
from trimode.api.fields import BY_NAME
from trimode.api.tensors import MODEL_NAME
from trimode.errors import ERROR_TYPES
from trimode_client.local_server import Addresses
from trimode_client.transports.tensors import datatype_of, pack
from tritonclient.grpc import service_pb2 as pb

from .bodies import OPENAI, damaged, encoded, fields_of, openai_body

SECONDS = 60.0
"""A request asks for a moment's work; what is not answered by then hangs."""
GENERATE = f"/v2/models/{MODEL_NAME}/generate"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
OTHER_PATHS = (
    "/v2",
    f"/v2/models/{MODEL_NAME}/config",
    "/v2/models/x/generate",
    "/v1/models",
    "/playground/",
    "//",
    "/%2e%2e/",
)
OURS = ("internal", "engine_failed")
"""Types of errors that no request may bring about."""
SAID_BY_HTTP = (503, 504)
"""Statuses above 499 that say what is so: no room, or no time."""


@dataclass(frozen=True)
class Outcome:
    """What came of one request: a word for the record, and what is wrong about it, "" if nothing is."""

    word: str
    fault: str = ""


class Fuzzer:
    """One caller, with a connection to each face that it keeps."""

    def __init__(self, at: Addresses, draw: Random) -> None:
        self._at, self._draw = at, draw
        self._connection = http.client.HTTPConnection(at.http, timeout=SECONDS)
        self._channel = grpc.insecure_channel(at.grpc, options=(("grpc.use_local_subchannel_pool", 1),))
        self._call = self._channel.stream_stream(STREAM, lambda raw: raw, pb.ModelStreamInferResponse.FromString)
        self.faces: dict[str, Callable[[], Outcome]] = {
            "HTTP": self.by_http,
            "HTTP events": self.by_events,
            "OpenAI": self.by_openai,
            "gRPC": self.by_grpc,
            "other paths": self.elsewhere,
        }

    def close(self) -> None:
        """Close both connections."""
        self._connection.close()
        self._channel.close()

    def by_http(self) -> Outcome:
        """One answer of generate."""
        return self._http("POST", GENERATE, encoded(fields_of(self._draw), self._draw))

    def by_events(self) -> Outcome:
        """Events of generate_stream."""
        return self._http("POST", f"{GENERATE}_stream", encoded({**fields_of(self._draw), "stream": True}, self._draw))

    def by_openai(self) -> Outcome:
        """One call of OpenAI's API."""
        path = self._draw.choice(tuple(OPENAI))
        return self._http("POST", path, encoded(openai_body(path, self._draw), self._draw))

    def elsewhere(self) -> Outcome:
        """A path or a method that is not served, or not with a body."""
        method = self._draw.choice(("GET", "PUT", "DELETE", "OPTIONS", "PATCH", "POST"))
        path = self._draw.choice((*OTHER_PATHS, GENERATE, f"/v2/{self._draw.randrange(10**6)}"))
        return self._http(method, path, b"" if method == "GET" else b"{}")

    def by_grpc(self) -> Outcome:
        """A stream with one message: tensors that fit or do not, or bytes that are damaged."""
        message = message_of(fields_of(self._draw), self._draw)
        last = Outcome("no response", "the stream ended without a response")
        try:
            for response in self._call(iter([message]), timeout=SECONDS):
                last = said(response.error_message, message)
        except grpc.RpcError as exc:
            return _ended(exc.code().name, exc.details() or "")
        return last

    def _http(self, method: str, path: str, body: bytes) -> Outcome:
        try:
            self._connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            content = answer.read()
        except TimeoutError:
            self._connection.close()
            return Outcome("hangs", f"{method} {path} was not answered within {SECONDS:g} s: {body[:300]!r}")
        except (http.client.HTTPException, OSError) as exc:
            self._connection.close()
            return Outcome("lost", f"{method} {path}: {type(exc).__name__} {exc}: {body[:300]!r}")
        status = answer.status
        if status >= 500 and status not in SAID_BY_HTTP:
            return Outcome(str(status), f"{method} {path}: {status} {content[:200]!r} for {body[:300]!r}")
        if status >= 400 and not _is_json(content):
            return Outcome(str(status), f"{method} {path}: {status} is not JSON: {content[:200]!r}")
        if status == 200 and b'"internal' in content[-200:]:
            return Outcome("internal", f"{method} {path}: {content[-200:]!r} for {body[:300]!r}")
        return Outcome(str(status))


def message_of(fields: dict[str, Any], draw: Random) -> bytes:
    """Return a message of KServe's with these fields as tensors, one time in six damaged."""
    request = pb.ModelInferRequest(
        model_name=MODEL_NAME if draw.random() < 0.97 else "other", id=draw.choice(("", "a"))
    )
    for name, value in fields.items():
        if name not in BY_NAME:
            continue
        values = value if isinstance(value, list) else [value]
        datatype = datatype_of(name)
        try:
            raw = pack(datatype, [_as_text(one) for one in values] if datatype == "BYTES" else values)
        except (struct.error, OverflowError, UnicodeEncodeError):  # a value that its tensor cannot hold is left out
            continue
        size = len(values) if draw.random() < 0.95 else draw.choice((0, 1, 2, 1000))
        request.inputs.add(name=name, datatype=datatype, shape=[size])
        request.raw_input_contents.append(raw)
    message: bytes = request.SerializeToString()
    return damaged(message, draw) if draw.random() < 1 / 6 else message


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def said(error: str, message: bytes) -> Outcome:
    """Return what a response is: an answer, where it has no error, or one that names its type."""
    if not error:
        return Outcome("an answer")
    word = error.partition(":")[0]
    known = word in ERROR_TYPES
    bad = word in OURS or not known
    return Outcome(word if known else "untyped", f"gRPC answered {error!r} to {message[:300]!r}" if bad else "")


def _ended(status: str, details: str) -> Outcome:
    """Return what a call was that ended with a status: a refusal names one of the server's types of errors."""
    word = details.partition(":")[0]
    bad = word in OURS or word not in ERROR_TYPES
    return Outcome(status, f"gRPC ended with {status}: {details}" if bad else "")


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True
