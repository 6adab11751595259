"""Which messages are not read because of how many fields they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.errors import RequestError
from trimode.server.grpc_front.message_scan import MOST_FIELDS, check_fields
from trimode.server.grpc_front.messages import parsed
from tritonclient.grpc import service_pb2 as pb

from tests.support.kserve import Scene, Triton, play, request, response

KIND = pb.ModelInferRequest.DESCRIPTOR


def with_texts(count: int) -> pb.ModelInferRequest:
    made = request()
    made.inputs[0].contents.bytes_contents.extend([b"x"] * count)
    return made


def with_numbers(count: int) -> pb.ModelInferRequest:
    made = request()
    made.inputs[0].contents.int_contents.extend([1] * count)
    return made


def with_tensors(count: int) -> pb.ModelInferRequest:
    made = request()
    for _ in range(count):
        made.inputs.add()
    return made


def with_parameters(count: int) -> pb.ModelInferRequest:
    made = request()
    for at in range(count):
        made.inputs[0].parameters[str(at)].bool_param = False
    return made


def with_large(size: int) -> pb.ModelInferRequest:
    made = request()
    made.raw_input_contents.append(bytes(size))
    return made


@pytest.mark.parametrize("made", [with_texts(MOST_FIELDS - 200), with_numbers(10**6), with_large(10**7)])
def test_what_a_request_may_hold_is_read(made: pb.ModelInferRequest) -> None:
    assert parsed(pb.ModelInferRequest, made.SerializeToString()) == made


@pytest.mark.parametrize("make", [with_texts, with_tensors, with_parameters])
def test_what_would_take_long_to_read_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(RequestError, match=f"may hold at most {MOST_FIELDS} fields") as caught:
        check_fields(KIND, make(2 * MOST_FIELDS).SerializeToString())
    assert caught.value.error_type == "too_large"


LONG = with_large(4 * MOST_FIELDS).SerializeToString()


@pytest.mark.parametrize(
    "tail", [b"\x0b\x0c", b"\x80" * 12, b"\x2a\x7f", b"\x2a\x02\x0a\x7f", b"\x0d", b"\x09\x00"], ids=str
)
def test_what_is_no_message_is_refused_before_it_is_read(tail: bytes) -> None:
    with pytest.raises(RequestError, match="must be a ModelInferRequest") as caught:
        check_fields(KIND, LONG + tail)
    assert caught.value.error_type == "wrong_type"


@given(st.binary(max_size=60))
def test_whatever_follows_is_read_or_refused_by_type(tail: bytes) -> None:
    try:
        parsed(pb.ModelInferRequest, LONG + tail)
    except RequestError as exc:
        assert exc.error_type in ("wrong_type", "too_large")


def test_a_stream_goes_on_after_such_a_message() -> None:
    async def act(scene: Scene) -> None:
        first, second = await scene.ask(with_texts(2 * MOST_FIELDS), request("b"))
        assert first.error_message.startswith("too_large: the message may hold at most 8192 fields")
        assert second.infer_response.id == "b" and not second.error_message

    play(act, lambda: Triton(lambda asked: [response(asked.id, last=True)]))
