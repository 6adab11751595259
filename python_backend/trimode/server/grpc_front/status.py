"""How an error ends a gRPC call: the status of its type, and its text."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc

from ...errors import ERROR_TYPES, TrimodeError

BY_TRITON_CODE = {
    "INVALID_ARG": grpc.StatusCode.INVALID_ARGUMENT,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "UNSUPPORTED": grpc.StatusCode.UNIMPLEMENTED,
    "UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "CANCELLED": grpc.StatusCode.CANCELLED,
    "INTERNAL": grpc.StatusCode.INTERNAL,
}
OF_ITS_OWN = {
    "deadline_exceeded": grpc.StatusCode.DEADLINE_EXCEEDED,
    "rate_limited": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unauthorized": grpc.StatusCode.UNAUTHENTICATED,
}
"""Types for which gRPC has a status and Triton no code."""


def status_of(error_type: str) -> grpc.StatusCode:
    """Return the status of the calls that errors of this type end."""
    return OF_ITS_OWN.get(error_type) or BY_TRITON_CODE[ERROR_TYPES[error_type].triton_code]


async def abort(context: Any, error: TrimodeError) -> NoReturn:
    """End a call with the status of the error's type and its text."""
    await abort_with(context, error.on_the_wire())


async def abort_with(context: Any, text: str) -> NoReturn:
    """End a call with the text `<error_type>: <message>` and the status of that type."""
    await context.abort(status_of(text.partition(":")[0]), text)
    raise AssertionError("abort does not return")
