"""What both faces say of a backend that does not serve."""

from __future__ import annotations

from dataclasses import dataclass

from trimode.server.serving import lost_error, not_serving, silent_error


@dataclass
class State:
    stopping: bool
    alive: bool = False


def test_callers_hear_whether_to_try_again_here() -> None:
    starting, stopping = State(stopping=False), State(stopping=True)
    assert not_serving(starting).on_the_wire() == "unavailable: the server is starting, try again"
    assert not_serving(stopping).on_the_wire() == "unavailable: the server is stopping"
    assert "send the request again" in lost_error(starting).on_the_wire()
    assert lost_error(stopping).on_the_wire() == "engine_failed: the server stopped before the answer was complete"
    assert silent_error().on_the_wire().startswith("deadline_exceeded: ")
