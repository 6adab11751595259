"""What the front reads of KServe's messages, and the answers that it makes itself.

Knows the classes that tritonclient ships (KServe's grpc_predict_v2.proto with Triton's additions); nothing of streams.
Messages that pass through stay the bytes that came, with parameters of ours at their end: protobuf merges them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from ...api.checks import unknown_field
from ...api.fields import BY_NAME
from ...api.tensors import CALLER, CANCEL, LOG_ID, MODEL_VERSION, TAG, TOKEN_RATE, TRACE
from ...errors import Described, RequestError, TrimodeError, shorten
from ..access.turnstile import Visit
from ..error_answer import with_type
from ..serving import check_id
from .framing import PREFIX, framed
from .message_scan import check_fields, not_of

ASK_FINAL = "triton_enable_empty_final_response"
FINAL = "triton_final_response"
"""Triton's parameters: a request asks with the first that responses say with the second whether they are the last."""
FINAL_NAME = FINAL.encode()
NOT_FINAL = b"\x0a" + bytes((len(FINAL_NAME),)) + FINAL_NAME + b"\x12\x02\x08\x00"
"""The parameter in protobuf's form where it is false: field 1 the name, field 2 a message whose field 1 is 0."""
INFER_RESPONSE = 0x12  # in protobuf's form: the key of ModelStreamInferResponse's field 2
RESERVED = (TAG, CALLER, CANCEL, TOKEN_RATE, LOG_ID, TRACE)
"""Parameters by which the front speaks to the model; from a caller they would end or rename another's request."""
MOST_NAMES = 2 * len(BY_NAME)  # inputs, outputs or parameters of a request, each of which is a field or an output
MOST_DIMENSIONS = 8  # of a tensor; those of the model have one, or two with a batch's
MOST_NAME_CHARACTERS = 64  # the longest name of a field has 23; hints for longer ones would take seconds


@dataclass(frozen=True)
class Request:
    """A request for an answer, as far as the front reads it.

    Attributes:
        id: the caller's name for it, which its responses carry.
        message: the bytes that Triton gets.
    """

    id: str
    message: bytes


def parsed(kind: Any, message: bytes) -> Any:
    """Return the message of class `kind` in the bytes.

    Raises:
        RequestError: the bytes are none, or hold more fields than can be read in a moment.
    """
    check_fields(kind.DESCRIPTOR, message)
    try:
        return kind.FromString(message)
    except DecodeError as exc:
        raise not_of(kind.DESCRIPTOR, message) from exc


def checked(request: Any, message: bytes, model: str, visit: Visit, log_id: str = "") -> Request:
    """Return what goes on to Triton, or refuse what would harm it or somebody else's request.

    Args:
        model: the name by which Triton knows the model that the request is for.
        log_id: what the model's lines of the log name the request by.

    Raises:
        RequestError: its id is too long, a tensor is no field, or has a shape that the message cannot fill, or it uses
            a parameter that is reserved.
    """
    check_id(request.id)
    for what, given in (("inputs", request.inputs), ("outputs", request.outputs), ("parameters", request.parameters)):
        if len(given) > MOST_NAMES:
            raise RequestError(what, f"may hold at most {MOST_NAMES}", Described(f"{len(given)}"))
    for name in request.parameters:
        if name in RESERVED or "\0" in name or len(name) > MOST_NAME_CHARACTERS:  # Triton cuts a name at a NUL
            raise unknown_field(name[:MOST_NAME_CHARACTERS], Described("a value"))
    for tensor in request.inputs:  # Triton's own error would have no hint, and the name as it came
        if tensor.name not in BY_NAME:
            raise unknown_field(tensor.name[:MOST_NAME_CHARACTERS], Described("a tensor"))
        if len(tensor.shape) > MOST_DIMENSIONS:
            limit, shown = f"may have at most {MOST_DIMENSIONS} dimensions", Described(f"{len(tensor.shape)}")
            raise RequestError(tensor.name, limit, shown, error_type="wrong_type")
        if any(not 0 <= size <= len(message) for size in tensor.shape) or math.prod(tensor.shape) > len(message):
            limit = "must have a shape that the message can fill"
            raise RequestError(tensor.name, limit, list(tensor.shape)[:4], error_type="wrong_type")
    for tensor in (*request.inputs, *request.outputs):  # shared memory, and classification, which ends Triton 2.51
        for name in tensor.parameters:
            limit = f"is no parameter that {shorten(tensor.name)} may have"
            raise RequestError(name, limit, Described("a value"), error_type="unknown_field")
    ours = _ours(visit.caller, visit.token_rate) + _named(log_id, visit.traceparent)
    return Request(request.id, message + renamed(request, "model_name", model) + ours)


def renamed(request: Any, field: str, model: str) -> bytes:
    """Return what lets a request's `field`, in front of it, name this model: of two values protobuf takes the last."""
    if getattr(request, field) == model:
        return b""
    made: bytes = type(request)(**{field: model}).SerializeToString()
    return made


@lru_cache(maxsize=1024)
def _ours(caller: str, token_rate: int | None) -> bytes:
    """Return the parameters that are added to each request of a caller."""
    ours = pb.ModelInferRequest()
    ours.parameters[CALLER].string_param = caller
    if token_rate is not None:
        ours.parameters[TOKEN_RATE].int64_param = token_rate
    ours.parameters[ASK_FINAL].bool_param = True
    made: bytes = ours.SerializeToString()
    return made


def _named(log_id: str, traceparent: str) -> bytes:
    """Return the parameters that name the request in the log and its span, nothing for "" each."""
    ours = pb.ModelInferRequest()
    if log_id:
        ours.parameters[LOG_ID].string_param = log_id
    if traceparent:
        ours.parameters[TRACE].string_param = traceparent
    made: bytes = ours.SerializeToString()
    return made


def read_end(message: bytes) -> Any:
    """Return the ModelStreamInferResponse in `message` (with gRPC's prefix) if it may end a request; None if it cannot.

    Most responses are neither an error nor the last, and are not parsed: nothing stands beside their infer_response,
    and Triton's parameter says once that they are not. What a response holds as text cannot pass for that.

    Raises:
        DecodeError: it is none.
    """
    if NOT_FINAL in message and message.count(FINAL_NAME) == 1 and _holds_one_response(message):
        return None
    return pb.ModelStreamInferResponse.FromString(message[PREFIX.size :])


def _holds_one_response(message: bytes) -> bool:
    """Whether infer_response is all that a message holds, and so no error_message."""
    at, size, shift = PREFIX.size, 0, 0
    if message[at] != INFER_RESPONSE:
        return False
    while True:
        at += 1
        size |= (message[at] & 0x7F) << shift
        shift += 7
        if message[at] < 0x80:
            return at + 1 + size == len(message)


def is_last(response: Any) -> bool:
    """Return whether no response to the same request follows: an error, or marked as the last one."""
    if response.error_message:
        return True
    parameters = response.infer_response.parameters
    return FINAL in parameters and parameters[FINAL].bool_param


def refusal(request_id: str, error: TrimodeError, model: str) -> bytes:
    """Return the response that answers a request of a stream to `model` with `error`."""
    answer = pb.ModelInferResponse(id=request_id, model_name=model, model_version=MODEL_VERSION)
    answer.parameters[FINAL].bool_param = True
    made: bytes = pb.ModelStreamInferResponse(
        error_message=error.on_the_wire(), infer_response=answer
    ).SerializeToString()
    return made


def with_error_type(response: Any, message: bytes) -> bytes:
    """Return `message`, which holds `response`; an error of Triton's own words gets an error_type in front."""
    if not response.error_message:
        return message
    response.error_message = with_type(response.error_message)
    return framed(response.SerializeToString())
