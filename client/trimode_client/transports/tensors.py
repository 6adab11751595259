"""Requests and responses as KServe protobuf messages: fields become tensors, tensors become Python values.

Takes each tensor's type from trimode.api.tensors; knows nothing of channels. A BYTES tensor holds texts, each after
its length in 4 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from trimode.api.tensors import INPUTS, OUTPUTS
from tritonclient.grpc import service_pb2

from ..errors import IncompleteError

LISTS = frozenset(tensor.name for tensor in OUTPUTS if tensor.length == -1)
_DATATYPES = {tensor.name: tensor.data_type.removeprefix("TYPE_").replace("STRING", "BYTES") for tensor in INPUTS}
_FORMATS = {"INT32": "i", "INT64": "q", "FP32": "f", "FP64": "d", "BOOL": "?"}  # by datatype, as struct names them


def datatype_of(name: str) -> str:
    """Return the datatype of the request's field `name`, as KServe's protocol names it."""
    return _DATATYPES[name]


def encode(model: str, fields: Mapping[str, Any]) -> Any:
    """Return the ModelInferRequest for `fields`; each value has shape [1], lists have shape [n]."""
    request = service_pb2.ModelInferRequest(model_name=model)
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        datatype = datatype_of(name)
        request.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        request.raw_input_contents.append(pack(datatype, values))
    return request


def decode(response: Any) -> dict[str, Any]:
    """Return the outputs of a ModelInferResponse by name: a list for those that are lists, else one value.

    Raises:
        IncompleteError: a tensor's type is unknown or its bytes do not fit its shape.
    """
    if len(response.outputs) != len(response.raw_output_contents):
        raise IncompleteError(f"a response has {len(response.outputs)} tensors but not the bytes of each")
    outputs: dict[str, Any] = {}
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        values = unpack(tensor.datatype, raw)
        if tensor.name in LISTS:
            outputs[tensor.name] = values
        elif values:
            outputs[tensor.name] = values[0]
    return outputs


def is_final(response: Any) -> bool:
    """Return whether a ModelInferResponse is the request's last."""
    return bool(response.parameters["triton_final_response"].bool_param)


def pack(datatype: str, values: list[Any]) -> bytes:
    """Return the bytes of a tensor: little-endian, without padding."""
    if datatype == "BYTES":
        texts = [value.encode("utf-8") for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return struct.pack(f"<{len(values)}{_FORMATS[datatype]}", *values)


def unpack(datatype: str, raw: bytes) -> list[Any]:
    """Return the values of a tensor.

    Raises:
        IncompleteError: the datatype is unknown, or the bytes hold no whole number of values.
    """
    try:
        if datatype == "BYTES":
            return _unpack_texts(raw)
        code = _FORMATS[datatype]
        return list(struct.unpack(f"<{len(raw) // struct.calcsize('<' + code)}{code}", raw))
    except (KeyError, struct.error) as exc:
        raise IncompleteError(f"a {datatype} tensor of {len(raw)} bytes cannot be read") from exc


def _unpack_texts(raw: bytes) -> list[str]:
    texts, at = [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        at += 4 + length
        if at > len(raw):
            raise struct.error("a text is longer than its tensor")
        texts.append(raw[at - length : at].decode("utf-8", errors="replace"))
    return texts
