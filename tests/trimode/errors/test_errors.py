"""Errors: how a value is shown in one, and how it is shortened."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.api.fields import Mode
from trimode.errors import (
    CancelledError,
    Described,
    EngineError,
    OutOfMemoryError,
    RequestError,
    engine_failure,
    shorten,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Mode.DIFFUSION, '"diffusion"'),
        (((0, 1), [2, 3]), "[[0, 1], [2, 3]]"),
        (("x",), '["x"]'),
        (True, "true"),
        (None, "null"),
        ('a "b"\n', r'"a \"b\"\n"'),
        ("\udcff é\x7f", r'"\udcff é\u007f"'),
        (b"\xff hi", r'"\udcff hi"'),
        (MappingProxyType({"a": 1}), '{"a": 1}'),
        (1 << 2000, "an integer of 2001 bits"),
        ([10**5000], "a list"),
        (Described("2 gaps"), "2 gaps"),
        (Described("/a\x1b[31m"), r"/a\u001b[31m"),
    ],
)
def test_a_value_is_shown_as_json(value: object, shown: str) -> None:
    assert shorten(value) == shown


def test_a_name_with_control_characters_is_shown_with_their_codes() -> None:
    assert str(RequestError("a\x1b[31m", "is not a field", 1)) == r"a\u001b[31m is not a field, got 1"


@given(st.text(max_size=300), st.integers(40, 120))
def test_shorten_keeps_to_its_limit(text: str, limit: int) -> None:
    assert len(shorten(text, limit)) <= limit


def np_memory_error() -> Exception:
    try:
        np.empty(2**62, np.uint8)
    except MemoryError as exc:
        return exc
    raise AssertionError("there are 4 EiB")


@pytest.mark.parametrize(
    "cause",
    [
        MemoryError(),
        np_memory_error(),
        RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : /home/x/a.onnx std::bad_alloc"),
        RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9"),
        EngineError("cudaMalloc failed with cudaErrorMemoryAllocation (2): out of memory"),
        OutOfMemoryError("no room"),
    ],
)
def test_want_of_memory_is_nobodys_fault_and_may_pass(cause: Exception) -> None:
    error = engine_failure("a step failed", cause)
    assert error.on_the_wire() == "unavailable: a step failed: the server lacks memory for it now"
    assert (error.type.http_status, error.type.retryable) == (503, True)
    assert isinstance(error, EngineError)  # what it had computed is not to be trusted


def test_the_words_of_a_library_are_not_for_callers() -> None:
    error = engine_failure("a step failed", RuntimeError("[ONNXRuntimeError] /home/x/model.onnx: node Gather_7"))
    assert error.on_the_wire() == "engine_failed: a step failed; the server's log says why"


def test_a_cancelled_request_always_says_so() -> None:
    assert CancelledError().on_the_wire() == CancelledError("").on_the_wire() == "cancelled: the request was cancelled"
    assert str(CancelledError("the server is stopping")) == "the server is stopping"
