"""Requests and responses as KServe protobuf messages: the fields' kinds become tensors, tensors become Python values.

Knows dtypes and shapes; knows nothing of channels. Strings are BYTES: each one behind its 4-byte length.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from trimode.api.fields import BY_NAME, INT32_MAX
from tritonclient.grpc import service_pb2

from ..errors import IncompleteError

DTYPES = {
    "string": "BYTES",
    "json": "BYTES",
    "strings": "BYTES",
    "int": "INT32",
    "ints": "INT32",
    "float": "FP32",
    "bool": "BOOL",
}
LISTS = frozenset({"output_ids", "output_log_probs", "fills"})
_FORMATS = {"INT32": "i", "INT64": "q", "FP32": "f", "FP64": "d", "BOOL": "?"}


def dtype_of(name: str) -> str:
    """Return the tensor type of the request's field `name`."""
    field = BY_NAME[name]
    wide = field.kind == "int" and field.high is not None and field.high > INT32_MAX
    return "INT64" if wide else DTYPES[field.kind]


def encode(model: str, fields: Mapping[str, Any]) -> Any:
    """Return the ModelInferRequest for `fields`; each value has shape [1], lists have shape [n]."""
    request = service_pb2.ModelInferRequest(model_name=model)
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        dtype = dtype_of(name)
        request.inputs.add(name=name, datatype=dtype, shape=[len(values)])
        request.raw_input_contents.append(_pack(dtype, values))
    return request


def decode(response: Any) -> dict[str, Any]:
    """Return the outputs of a ModelInferResponse by name: a list for those that are lists, else one value.

    Raises:
        IncompleteError: a tensor's type is unknown or its bytes do not fit its shape.
    """
    outputs: dict[str, Any] = {}
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        values = _unpack(tensor.datatype, raw)
        if tensor.name in LISTS:
            outputs[tensor.name] = values
        elif values:
            outputs[tensor.name] = values[0]
    return outputs


def is_final(response: Any) -> bool:
    """Return whether a ModelInferResponse is the request's last."""
    return bool(response.parameters["triton_final_response"].bool_param)


def _pack(dtype: str, values: list[Any]) -> bytes:
    if dtype == "BYTES":
        texts = [value.encode("utf-8") for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return struct.pack(f"<{len(values)}{_FORMATS[dtype]}", *values)


def _unpack(dtype: str, raw: bytes) -> list[Any]:
    try:
        if dtype == "BYTES":
            return _unpack_texts(raw)
        code = _FORMATS[dtype]
        return list(struct.unpack(f"<{len(raw) // struct.calcsize('<' + code)}{code}", raw))
    except (KeyError, struct.error) as exc:
        raise IncompleteError(f"a {dtype} tensor of {len(raw)} bytes cannot be read") from exc


def _unpack_texts(raw: bytes) -> list[str]:
    texts, at = [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        at += 4 + length
        if at > len(raw):
            raise struct.error("a text is longer than its tensor")
        texts.append(raw[at - length : at].decode("utf-8", errors="replace"))
    return texts
