"""The status and body of an HTTP answer to an error, from the text of the error."""

from __future__ import annotations

import json

import pytest
from trimode.errors import ERROR_TYPES
from trimode.server.error_answer import error_response, error_text, with_type


@pytest.mark.parametrize("name", ERROR_TYPES)
def test_the_status_is_that_of_the_type_in_front(name: str) -> None:
    assert error_response(f"{name}: what happened").status == ERROR_TYPES[name].http_status


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("rate_limited: requests_per_minute must be at most 60, got 61; again in 12 s", "12"),
        ("overloaded: the queue is full", "1"),
        ("unavailable: the server is starting, try again", "1"),
        ('invalid_value: text_input must be short, got "; again in 12 s', None),
    ],
)
def test_retry_after_says_when_it_may_help_to_ask_again(text: str, seconds: str | None) -> None:
    assert error_response(text).headers.get("Retry-After") == seconds


M = "nemotron_diffusion"
OVER_HTTP = {
    "failed to parse the request JSON buffer: The document is empty. at 0": "bad_json",
    "failed to parse the request JSON buffer: Missing a name for object member. at 1": "bad_json",
    "attempt to get members for non-object": "wrong_type",
    "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer": "wrong_type",
    "Unable to parse 'data': attempt to access JSON non-number as double": "wrong_type",
    "Unable to parse 'data': attempt to access JSON non-boolean as boolean": "wrong_type",
    "Unable to parse JSON bytes array: attempt to access JSON non-string as string": "wrong_type",
    "Unable to parse 'id': attempt to access JSON non-string as string": "wrong_type",
    "The schema can not convert input 'top_k' to tensor with proper shape": "wrong_type",
    "parameter 'foo' has invalid type. It should be either 'int', 'bool', or 'string'.": "wrong_type",
    "Expected JSON object for keyword: 'parameters': attempt to access JSON non-object as object": "wrong_type",
    "generate expects model to produce exactly 1 response, use generate stream for model that generates various "
    "number of responses": "not_applicable",
    "HTTP end point doesn't support models with decoupled transaction policy": "not_applicable",
    f"Request for unknown model: '{M}' version 9 is not found": "not_found",
    "Request for unknown model: 'x' is not found": "not_found",
    "requested model 'x' is not available": "not_found",
    f"requested model version is not available for model '{M}'": "not_found",
    "Not Found": "not_found",
    "Model version not ready": "unavailable",
    f"Request for unknown model: '{M}' has no available versions": "unavailable",
    f"Request for unknown model: '{M}' version 1 is not at ready state": "unavailable",
    "Method Not Allowed": "not_allowed",
    "This API is restricted, expecting header 'admin-key'": "not_allowed",
    "Unsupported content-encoding, only 'identity' is supported.": "unsupported_encoding",
    f"Stub process '{M}_0_0' is not healthy.": "unavailable",
    "Failed to increase the shared memory pool size for key 'trimode_4026531836_12828_aec692d7' to 1048576 bytes. If "
    "you are running Triton inside docker, use '--shm-size' flag to control the shared memory region size.": (
        "unavailable"
    ),
}
ID = "[request id: <id_unknown>] "
OVER_GRPC = {
    "failed to get model version from specified version string 'abc' (details: stol), version should be an integral "
    "value > 0": "not_found",
    "ModelInfer RPC doesn't support models with decoupled transaction policy": "not_applicable",
    "This protocol is restricted, expecting header 'triton-grpc-protocol-admin-key'": "not_allowed",
    f"unexpected inference input 'foo' for model '{M}'": "unknown_field",
    f"unexpected inference output 'nope' for model '{M}'": "unknown_field",
    f"{ID}inference input 'input_ids' data-type is 'INT64', but model '{M}' expects 'INT32'": "wrong_type",
    f"{ID}input byte size mismatch for input 'input_ids' for model '{M}'. Expected 8, got 4": "wrong_type",
    f"{ID}unexpected shape for input 'input_ids' for model '{M}'. Expected [-1], got [1,1]. ": "wrong_type",
    f"{ID}All input dimensions should be specified for input 'input_ids' for model '{M}', got [-1]": "wrong_type",
    f"unable to find data for input tensor 'input_ids' for model '{M}' in request.": "wrong_type",
    f"{ID}incomplete string length indicator for inference input 'text_input' for model '{M}', expecting 4 bytes but "
    "only 3 bytes available. Please make sure the string length indicator is in one buffer.": "wrong_type",
    "incomplete string data for inference input 'text_input', expecting string of length 100 but only 3 bytes "
    "available": "wrong_type",
    f"{ID}unexpected number of string elements 2 for inference input 'text_input' for model '{M}', expecting 1": (
        "wrong_type"
    ),
    f"{ID}input 'input_ids' already exists in request": "given_twice",
    f"contents field must not be specified when using raw_input_contents for 'text' for model '{M}'": "given_twice",
    f"unexpected explicit tensor data for input tensor 'input_ids' for model '{M}' of type 'BOOL', expected datatype "
    "'INT32'": "wrong_type",
    "invalid value type for 'priority' parameter, expected int64_param or uint64_param.": "wrong_type",
    "invalid value type for 'sequence_start' parameter, expected bool_param.": "wrong_type",
    "invalid value type for 'shared_memory_region' parameter for tensor 'input_ids', expected string_param.": (
        "wrong_type"
    ),
    "Unable to find shared memory region: 'x'": "not_applicable",
}
"""What Triton 2.51 answered to broken requests, word for word but for the names in the shared memory's key."""
OTHER = {
    f"unexpected explicit tensor data for input tensor 'x' for model '{M}', binary data was already supplied.": (
        "given_twice"
    ),
    f"unexpected 'content' provided when using shared memory for input tensor 'x' for model '{M}'": "given_twice",
    f"unexpected additional input data for model '{M}'": "wrong_type",
    f"unexpected size for input 'x', expecting 4 additional bytes for model '{M}'": "wrong_type",
    "receiving FP16 data via JSON is not supported. Please use the binary data format for input x": "wrong_type",
    "Internal: something": "internal",
    "no words that are known": "internal",
    "no_such_type: what happened": "internal",
    "in ensemble 'x', std::bad_alloc": "unavailable",
    "Cannot allocate memory": "unavailable",
    "[json.exception] out of memory": "unavailable",
    "No space left on device": "unavailable",
    "Too many open files": "unavailable",
    "Socket closed": "unavailable",
    "Connection reset by peer": "unavailable",
    "unable to create shared memory region 'x'": "unavailable",
    f"unexpected inference input 'memory' for model '{M}'": "unknown_field",
    f"unexpected inference input 'no space' for model '{M}'": "unknown_field",
    "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor 'x'": (
        "invalid_value"
    ),
}
"""Words that were not provoked, and names that a caller may choose."""


@pytest.mark.parametrize(("text", "kind"), [*OVER_HTTP.items(), *OVER_GRPC.items(), *OTHER.items()])
def test_tritons_own_words_get_a_type(text: str, kind: str) -> None:
    assert with_type(text) == f"{kind}: {text}"
    assert with_type(with_type(text)) == with_type(text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "overloaded: full"}', "overloaded: full"),
        (b'data: {"error": "overloaded: full"}\n\n', "overloaded: full"),
        (b'{"other": 1}', 'internal: {"other": 1}'),
        (b'["error"]', 'internal: ["error"]'),
        (b"\xff" + 300 * b"x", "internal: \N{REPLACEMENT CHARACTER}" + 199 * "x"),
        (b"", "internal: "),
    ],
)
def test_the_text_of_tritons_error(body: bytes, text: str) -> None:
    assert error_text(body) == text


def test_an_answer_says_when_to_try_again_if_that_may_help() -> None:
    full, bad = error_response("overloaded: full"), error_response("bad_json: no")
    assert isinstance(full.body, bytes)
    assert json.loads(full.body) == {"error": "overloaded: full"}
    assert (full.status, full.headers.get("Retry-After")) == (503, "1")
    assert (bad.status, bad.headers.get("Retry-After")) == (400, None)


def test_an_answer_has_the_headers_that_its_caller_gives() -> None:
    answer = error_response("not_allowed: PUT", {"Allow": "GET"})
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


def test_an_encoding_that_is_not_read_is_answered_with_those_that_are() -> None:
    assert error_response("unsupported_encoding: br").headers["Accept-Encoding"] == "gzip, deflate"
