"""Fields as protobuf tensors and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.api.fields import FIELDS
from trimode.api.tensors import INPUTS, OUTPUTS
from trimode.triton.arrays import read_request
from trimode_client import IncompleteError
from trimode_client.transports.tensors import LISTS, datatype_of, decode, encode, is_final, pack, unpack
from tritonclient.grpc import InferResult, service_pb2

VALUES: dict[str, Any] = {
    "string": "hé",
    "json": '[{"role":"user"}]',
    "object": '{"5":1.5}',
    "strings": ["a", ""],
    "int": 5,
    "float": 0.9,
    "bool": True,
    "ints": [7, 8],
}


def arrays(request: Any) -> list[tuple[str, Any]]:
    """Read the request's tensors with NVIDIA's own decoder."""
    response = service_pb2.ModelInferResponse(raw_output_contents=request.raw_input_contents)
    for tensor in request.inputs:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    result = InferResult(response)
    return [(tensor.name, result.as_numpy(tensor.name)) for tensor in request.inputs]


@pytest.mark.parametrize("tensor", INPUTS, ids=lambda tensor: tensor.name)
def test_a_field_has_the_type_that_the_model_declares(tensor: Any) -> None:
    assert datatype_of(tensor.name) == tensor.data_type.removeprefix("TYPE_").replace("STRING", "BYTES")


@pytest.mark.parametrize(
    ("name", "datatype"),
    [
        ("text_input", "BYTES"),
        ("messages", "BYTES"),
        ("stop_words", "BYTES"),
        ("input_ids", "INT32"),
        ("max_tokens", "INT32"),
        ("seed", "INT64"),
        ("temperature", "FP32"),
        ("stream", "BOOL"),
    ],
)
def test_a_field_has_the_type_of_its_kind_and_range(name: str, datatype: str) -> None:
    assert datatype_of(name) == datatype


@pytest.mark.parametrize(
    ("datatype", "values", "raw"),
    [
        ("INT32", [1, -1], b"\x01\0\0\0\xff\xff\xff\xff"),
        ("INT64", [2], b"\x02" + 7 * b"\0"),
        ("FP32", [0.5], b"\0\0\0?"),
        ("BOOL", [True, False], b"\x01\0"),
        ("BYTES", ["é", ""], b"\x02\0\0\0\xc3\xa9\0\0\0\0"),
    ],
)
def test_values_and_bytes_are_each_others(datatype: str, values: list[Any], raw: bytes) -> None:
    assert (pack(datatype, values), unpack(datatype, raw)) == (raw, values)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_the_server_reads_what_the_client_wrote(field: Any) -> None:
    fields = {field.name: VALUES[field.kind]}
    assert read_request(arrays(encode("m", fields)), "") == fields


def test_a_request_asks_for_an_empty_final_response() -> None:
    assert encode("m", {}).parameters["triton_enable_empty_final_response"].bool_param


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_survive_the_round_trip(texts: list[str]) -> None:
    request = encode("m", {"stop_words": texts})
    response = service_pb2.ModelInferResponse(raw_output_contents=request.raw_input_contents)
    response.outputs.add(name="output_ids", datatype="BYTES", shape=[len(texts)])
    assert decode(response) == {"output_ids": texts}


@given(st.binary())
def test_broken_text_tensors_are_an_error(raw: bytes) -> None:
    response = service_pb2.ModelInferResponse(raw_output_contents=[raw])
    response.outputs.add(name="output_ids", datatype="BYTES", shape=[1])
    try:
        decode(response)
    except IncompleteError as exc:
        assert "cannot be read" in str(exc)


def test_a_list_output_of_one_element_stays_a_list() -> None:
    response = service_pb2.ModelInferResponse(raw_output_contents=[np.array([5], np.int32).tobytes()])
    response.outputs.add(name="output_ids", datatype="INT32", shape=[1])
    assert decode(response) == {"output_ids": [5]}


def test_the_text_of_every_gap_is_read() -> None:
    raw = encode("m", {"stop_words": ["é", "", "b"]}).raw_input_contents
    response = service_pb2.ModelInferResponse(raw_output_contents=raw)
    response.outputs.add(name="fills", datatype="BYTES", shape=[3])
    assert decode(response) == {"fills": ["é", "", "b"]}


def test_every_output_that_may_be_a_list_is_read_as_one() -> None:
    assert {tensor.name for tensor in OUTPUTS if tensor.length == -1} == LISTS
    assert {"output_ids", "output_log_probs", "fills", "acceptance_histogram", "prompt_ids"} <= LISTS


def test_an_empty_text_is_a_text() -> None:
    assert read_request(arrays(encode("m", {"suffix": ""})), "") == {"suffix": ""}


def test_an_unknown_tensor_type_is_an_error() -> None:
    response = service_pb2.ModelInferResponse(raw_output_contents=[b"ab"])
    response.outputs.add(name="x", datatype="BF16", shape=[1])
    with pytest.raises(IncompleteError, match="BF16 tensor of 2 bytes"):
        decode(response)


def test_the_final_flag_is_read() -> None:
    response = service_pb2.ModelInferResponse()
    response.parameters["triton_final_response"].bool_param = True
    assert is_final(response)


def test_tensors_without_the_bytes_of_each_are_refused() -> None:
    response = service_pb2.ModelInferResponse(raw_output_contents=[pack("INT32", [1])])
    for name in ("forwards", "decode_forwards"):
        response.outputs.add(name=name, datatype="INT32", shape=[1])
    with pytest.raises(IncompleteError, match="2 tensors but not the bytes of each"):
        decode(response)
