"""What the span of a request of the model says."""

from __future__ import annotations

from trimode.api.answer import Chunk
from trimode.api.counters import Counters
from trimode.api.params import GenerationParams
from trimode.errors import CancelledError, RequestError
from trimode.tracing.request_trace import Attributes, RequestTrace
from trimode.triton.traced import Traced

from tests.support.parsing import DEFAULTS

Ends = list[tuple[Attributes, str]]


def traced(**given: object) -> tuple[Traced, Ends]:
    ends: Ends = []
    made = Traced("nano", RequestTrace("", lambda trace, says, error: ends.append((says, error))))
    made.read(given)
    return made, ends


def test_an_answer_says_what_it_took_and_no_text() -> None:
    made, ends = traced(messages="[secret]", temperature=0.5, seed=7)
    params = GenerationParams.parse({"input_ids": [5], "max_tokens": 9}, DEFAULTS)
    chunk = Chunk(text="secret", finish_reason="stop", num_input_tokens=3, counters=Counters(output_tokens=2))
    made.ended(chunk, params, "stop")
    ((says, error),) = ends
    assert error == "" and "secret" not in str(says)
    assert (says["gen_ai.operation.name"], says["gen_ai.request.model"]) == ("chat", "nano")
    assert (says["gen_ai.request.temperature"], says["gen_ai.request.seed"], says["gen_ai.request.max_tokens"]) == (
        0.5,
        7,
        9,
    )
    assert (says["gen_ai.usage.input_tokens"], says["gen_ai.usage.output_tokens"]) == (3, 2)
    assert says["gen_ai.response.finish_reasons"] == ["stop"]


def test_errors_have_their_type() -> None:
    made, ends = traced(text_input="secret")
    params = GenerationParams.parse({"input_ids": [5], "max_tokens": 9}, DEFAULTS)
    made.ended(Chunk(error=CancelledError("gone")), params, "cancelled")
    made.refused(RequestError("max_tokens", "must be at least 1", 0))
    assert [error for _, error in ends] == ["cancelled", "invalid_value"]
    assert ends[1][0]["gen_ai.operation.name"] == "text_completion"
