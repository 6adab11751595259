"""How an error ends a gRPC call: the status of its type. Knows numbers and names, no call."""

from __future__ import annotations

from urllib.parse import quote

import grpc

from ...errors import ERROR_TYPES

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
    "header_too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "rate_limited": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unauthorized": grpc.StatusCode.UNAUTHENTICATED,
}
"""Types for which gRPC has a status and Triton no code."""
MOST_CHARACTERS = 2048
"""Of a message in trailers: gRPC's libraries take 8 KiB of them, and a character may become three."""
PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
"""What a message in trailers has as it is; the rest is percent-encoded UTF-8, as gRPC's protocol says."""


def status_of(error_type: str) -> grpc.StatusCode:
    """Return the status of the calls that errors of this type end."""
    return OF_ITS_OWN.get(error_type) or BY_TRITON_CODE[ERROR_TYPES[error_type].triton_code]


def trailers(code: grpc.StatusCode, text: str) -> list[tuple[str, str]]:
    """Return the header fields that end a call."""
    number: int = code.value[0]
    made = [("grpc-status", str(number))]
    if text:
        made.append(("grpc-message", quote(text[:MOST_CHARACTERS].encode("utf-8", "replace"), safe=PLAIN)))
    return made
