"""Bad input of every field, over HTTP and gRPC: an error that names field and type, and a server that goes on."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from trimode.api.fields import FIELDS, MAX_TEXT_CHARACTERS, PROMPT_FIELDS, Field
from trimode.api.tensors import MODEL_NAME
from trimode.bundle.manifest import Manifest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as stubs

from tests.server.refusals import refused, refused_over_grpc
from tests.server.server import Server
from tests.server.wire import PATH, TYPES, GrpcStream, generate, send

MIB = 2**20
WRONG_TYPE: dict[str, object] = {
    "string": 5,
    "object": 5,
    "json": 5,
    "int": "x",
    "float": "x",
    "bool": "yes",
    "strings": 5,
    "ints": "x",
}
TEXTS = [field for field in FIELDS if field.kind in ("string", "json", "strings")]
FLOATS = [field for field in FIELDS if field.kind == "float"]
INTEGERS = [field for field in FIELDS if field.kind in ("int", "ints")]
LISTS = [field for field in FIELDS if field.kind in ("ints", "strings") and not field.empty_is_none]


def each(fields: list[Field] | tuple[Field, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("field", fields, ids=[field.name for field in fields])


def too_far(field: Field) -> list[float]:
    """The nearest values outside the field's range."""
    step: float = 1 if field.kind in ("int", "ints") else 0.5
    outside = [limit + sign * step for limit, sign in ((field.low, -1), (field.high, 1)) if limit is not None]
    return [int(value) if step == 1 else value for value in outside]


OUTSIDE = [(field, value) for field in FIELDS for value in too_far(field)]
LARGEST = {"TYPE_INT32": 2**31 - 1, "TYPE_INT64": 2**63 - 1, "TYPE_FP32": 3e38}
OUTSIDE_IN_TENSORS = [
    (field, value)
    for field, value in OUTSIDE
    if abs(value) <= LARGEST[TYPES[field.name]]  # the least one is left out
]


def each_outside(cases: list[tuple[Field, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("field", "value"), cases, ids=[f"{f.name}={v}" for f, v in cases])


@pytest.fixture(autouse=True)
def still_answers(server: Server) -> Iterator[None]:
    yield
    status, body = generate(server.http_port, {"input_ids": [5], "max_tokens": 1, "mode": "autoregressive"})
    assert status == 200, body


def request_with(field: Field, value: object) -> dict[str, Any]:
    prompt = {} if field.name in PROMPT_FIELDS else {"text_input": "hello"}
    return {**prompt, field.name: value}


@each(FIELDS)
def test_wrong_type(server: Server, field: Field) -> None:
    message = refused(server, request_with(field, WRONG_TYPE[field.kind]), "wrong_type")
    assert message.startswith(field.name)


@each_outside(OUTSIDE)
def test_out_of_range(server: Server, field: Field, value: float) -> None:
    given = [value] if field.kind == "ints" else value
    message = refused(server, request_with(field, given), "invalid_value")
    assert message.startswith(field.name)
    assert str(value) in message


@each_outside(OUTSIDE_IN_TENSORS)
def test_out_of_range_over_grpc(server: Server, field: Field, value: float) -> None:
    given = [value] if field.kind == "ints" else value
    message = refused_over_grpc(server, request_with(field, given), "invalid_value")
    assert message.startswith(field.name)


@each(INTEGERS)
def test_an_integer_that_would_be_cut_to_32_or_64_bits(server: Server, field: Field) -> None:
    huge = 2**64 + 5
    message = refused(server, request_with(field, [huge] if field.kind == "ints" else huge), "invalid_value")
    assert str(huge) in message


@each(FLOATS)
def test_infinite_over_http(server: Server, field: Field) -> None:
    body = json.dumps(request_with(field, 0)).replace('": 0', '": 1e999').encode()
    assert refused(server, body, "invalid_value").startswith(field.name)


@each(FLOATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_not_finite_over_grpc(server: Server, field: Field, value: float) -> None:
    assert refused_over_grpc(server, request_with(field, value), "invalid_value").startswith(field.name)


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"])
def test_literals_that_are_not_json(server: Server, literal: bytes) -> None:
    refused(server, b'{"text_input": "hello", "temperature": ' + literal + b"}", "bad_json")


@each(TEXTS)
def test_invalid_utf8_over_grpc(server: Server, field: Field) -> None:
    bad = b"caf\xe9"
    message = refused_over_grpc(server, request_with(field, [bad] if field.kind == "strings" else bad), "bad_utf8")
    assert message.startswith(field.name)


def test_invalid_utf8_over_http(server: Server) -> None:
    refused(server, b'{"text_input": "caf\xe9"}', "bad_utf8")


def test_half_a_surrogate_pair(server: Server) -> None:
    refused(server, rb'{"text_input": "\ud83d"}', "bad_utf8")


@each(LISTS)
def test_an_empty_list(server: Server, field: Field) -> None:
    assert refused(server, request_with(field, []), "invalid_value").startswith(field.name)


@each(LISTS)
def test_an_empty_list_over_grpc(server: Server, field: Field) -> None:
    assert refused_over_grpc(server, request_with(field, []), "invalid_value").startswith(field.name)


def test_an_empty_prompt(server: Server) -> None:
    assert refused(server, {"text_input": ""}, "invalid_value").startswith("text_input")


def test_no_prompt(server: Server) -> None:
    refused(server, {}, "bad_prompt")


def test_no_prompt_over_grpc(server: Server) -> None:
    refused_over_grpc(server, {"max_tokens": 1}, "bad_prompt")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null", b'{"a"', b"[" * 100_000])
def test_a_body_that_is_no_object(server: Server, body: bytes) -> None:
    status, answer = generate(server.http_port, body)
    assert status == 400
    assert answer["error"].partition(":")[0] in ("bad_json", "wrong_type")


@pytest.mark.parametrize("value", [1, "x", [1], {"a": 1}])
def test_an_unknown_field(server: Server, value: object) -> None:
    assert refused(server, {"text_input": "hello", "max_token": value}, "unknown_field").startswith("max_token ")


def test_an_unknown_parameter_over_grpc(server: Server) -> None:
    refused_over_grpc(server, {"text_input": "hello"}, "unknown_field", parameters={"max_token": 5})


def test_a_field_given_both_ways_over_grpc(server: Server) -> None:
    request = {"text_input": "hello", "max_tokens": 5}
    refused_over_grpc(server, request, "given_twice", parameters={"max_tokens": 6})


def test_a_tensor_in_raw_bytes_and_in_words_too(server: Server) -> None:
    message = pb.ModelInferRequest(model_name=MODEL_NAME, raw_input_contents=[(5).to_bytes(4, "little")])
    message.inputs.add(name="max_tokens", datatype="INT32", shape=[1]).contents.int_contents.append(6)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        answers = stubs.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter([message]), timeout=60)
        errors = [one.error_message.partition(":")[0] for one in answers]
    assert errors == ["given_twice"]


def test_a_tensor_of_another_type(server: Server) -> None:
    wrong = triton.InferInput("max_tokens", [1], "INT64")
    wrong.set_data_from_numpy(np.array([5], dtype=np.int64))
    with GrpcStream(server.grpc_port) as stream:
        stream.send_inputs([wrong])
        answer = next(stream.answers())
    assert "max_tokens" in answer["error"]


def test_a_prompt_longer_than_the_capacity(server: Server, bundle: Path) -> None:
    tokens = Manifest.load(bundle).capacity
    refused(server, {"text_input": "word " * tokens, "max_tokens": 1}, "prompt_too_long")


def test_more_tokens_than_the_capacity(server: Server, bundle: Path) -> None:
    asked = Manifest.load(bundle).capacity + 1
    assert refused(server, {"text_input": "hello", "max_tokens": asked}, "prompt_too_long").startswith("max_tokens")


def test_a_token_id_beyond_the_vocabulary(server: Server, bundle: Path) -> None:
    refused(server, {"input_ids": [Manifest.load(bundle).vocab_size]}, "invalid_value")


def test_text_beyond_the_limit_over_http(server: Server) -> None:
    message = refused(server, {"text_input": "x" * (MAX_TEXT_CHARACTERS + 1)}, "invalid_value")
    assert str(MAX_TEXT_CHARACTERS) in message


def test_a_body_that_is_not_encoded_as_it_says(server: Server) -> None:
    status, answer = send(server.http_port, "POST", f"{PATH}/generate", b"abcdefgh", Content_Encoding="gzip")
    assert (status, json.loads(answer)["error"][:8]) == (400, "bad_json")


def test_ten_megabytes_over_http(server: Server) -> None:
    assert str(8 * MIB) in refused(server, {"text_input": "x" * 10 * MIB}, "too_large", 413)


def test_ten_megabytes_in_pieces_of_unknown_number(server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)) as connection:
        pieces = (b"x" * MIB for _ in range(10))
        headers = {"Transfer-Encoding": "chunked"}
        connection.request("POST", f"{PATH}/generate", pieces, headers, encode_chunked=True)
        assert connection.getresponse().status == 413


@pytest.mark.parametrize("size", [5 * MIB, 10 * MIB])
def test_a_large_form_encoded_body(server: Server, size: int) -> None:
    body = b'{"text_input": "' + b"x" * size + b'"}'
    form = "application/x-www-form-urlencoded"
    status, _ = send(server.http_port, "POST", f"{PATH}/generate", body, Content_Type=form)
    assert status == (413 if size > 8 * MIB else 400)


def test_ten_megabytes_over_grpc(server: Server) -> None:
    assert str(8 * MIB) in refused_over_grpc(server, {"text_input": b"x" * 10 * MIB}, "too_large")


def test_stream_needs_generate_stream(server: Server) -> None:
    assert refused(server, {"text_input": "hello", "stream": True}, "not_applicable").startswith("stream")


def test_block_fields_with_autoregressive(server: Server) -> None:
    request = {"text_input": "hello", "mode": "autoregressive", "threshold": 0.5}
    assert refused(server, request, "not_applicable").startswith("threshold")
