"""What both faces say of the model, and of a backend that does not serve."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from trimode.api.tensors import MODEL_NAME, MODEL_VERSION
from trimode.errors import Refusal
from trimode.server.serving import check_model, lost_error, not_serving, silent_error


@dataclass
class State:
    stopping: bool
    alive: bool = False


@pytest.mark.parametrize("version", ["", MODEL_VERSION])
def test_the_model_that_is_served(version: str) -> None:
    check_model(MODEL_NAME, version)


@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("", "", "there is no model "),
        (MODEL_NAME.upper(), "", "there is no model "),
        ("x" * 10_000, "", "there is no model "),
        (MODEL_NAME, "01", f"{MODEL_NAME} has no version "),
        (MODEL_NAME, "-1", f"{MODEL_NAME} has no version "),
    ],
)
def test_a_model_that_is_not_served(name: str, version: str, text: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_model(name, version)
    assert caught.value.on_the_wire().startswith(f"not_found: {text}")
    assert len(caught.value.on_the_wire()) < 300


def test_callers_hear_whether_to_try_again_here() -> None:
    starting, stopping = State(stopping=False), State(stopping=True)
    assert not_serving(starting).on_the_wire() == "unavailable: the server is starting, try again"
    assert not_serving(stopping).on_the_wire() == "unavailable: the server is stopping"
    assert "send the request again" in lost_error(starting).on_the_wire()
    assert lost_error(stopping).on_the_wire() == "engine_failed: the server stopped before the answer was complete"
    assert silent_error().on_the_wire().startswith("deadline_exceeded: ")
