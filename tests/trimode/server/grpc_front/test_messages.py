"""Which responses are read, and that none passes for another."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from trimode.server.grpc_front.framing import framed
from trimode.server.grpc_front.messages import FINAL_NAME, NOT_FINAL, is_last, read_end
from tritonclient.grpc import service_pb2 as pb

from tests.support.kserve import response

HOSTILE = st.sampled_from([b"", b"text", NOT_FINAL, FINAL_NAME, NOT_FINAL[:-1] + b"\x01", b"x" * 300])


@given(HOSTILE, st.booleans(), st.sampled_from(["", "internal: no"]))
def test_only_what_cannot_end_a_request_is_not_read(text: bytes, last: bool, error: str) -> None:
    made = response("a", last=last, error=error)
    made.infer_response.raw_output_contents.append(text)
    found = read_end(framed(made.SerializeToString()))
    assert found is None or found == made
    if last or error:
        assert is_last(found)


def test_a_response_in_the_middle_is_not_read() -> None:
    assert read_end(framed(response("a", "text").SerializeToString())) is None


def test_a_response_that_says_nothing_of_its_end_is_read() -> None:
    made = pb.ModelStreamInferResponse()
    made.infer_response.id = "a"
    found = read_end(framed(made.SerializeToString()))
    assert not is_last(found)


def test_an_error_behind_the_response_is_read() -> None:
    made = response("a").SerializeToString() + pb.ModelStreamInferResponse(error_message="no").SerializeToString()
    assert is_last(read_end(framed(made)))


def test_what_is_no_response_is_an_error() -> None:
    with pytest.raises(DecodeError):
        read_end(framed(b"\xff\xff"))
