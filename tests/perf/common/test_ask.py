"""Many requests at once: everyone gets what it gets alone, in order, and what fails ends all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from trimode.api.answer import Chunk
from trimode.errors import RequestError
from trimode.runtime import Runtime
from trimode_perf.common import ask as asking
from trimode_perf.common.ask import Answer, ask
from trimode_perf.common.progress import MeasureError

from tests.support.toy import ToyEngine, toy_runtime

REQUESTS: list[dict[str, Any]] = [
    {"text_input": "x" * (3 + n), "mode": "self_speculation", "max_tokens": 9, "stream": True} for n in range(5)
]


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = toy_runtime(ToyEngine())
    yield runtime
    runtime.close()


@pytest.mark.parametrize("at_once", [1, 3, 9, None])
def test_a_crowd_gets_the_answers_that_each_gets_alone(runtime: Runtime, at_once: int | None) -> None:
    alone = [runtime.generate({**one, "stream": False}) for one in REQUESTS]
    counted: list[int] = []
    crowd = ask(runtime, REQUESTS, at_once, lambda: counted.append(1))
    assert crowd.texts == [chunk.text for chunk in alone]
    assert [chunk.token_ids for chunk in crowd.chunks] == [chunk.token_ids for chunk in alone]
    assert crowd.tokens == sum(chunk.counters.output_tokens for chunk in alone)
    assert all(0 < answer.first_seconds <= answer.seconds <= crowd.seconds for answer in crowd.answers)
    assert len(counted) == len(REQUESTS)


def test_no_more_are_asked_than_at_once() -> None:
    asked: list[Any] = []

    class Waiting:
        def submit(self, request: Any, sink: Any) -> None:
            asked.append(sink)
            if len(asked) == 2:
                for number in range(4):
                    asked[number](Chunk(finish_reason="stop"))
                    assert len(asked) <= number + 3

    crowd = ask(Waiting(), [{}] * 4, 2)  # type: ignore[arg-type]
    assert len(asked) == len(crowd.answers) == 4


def test_nothing_asked_is_nothing_answered(runtime: Runtime) -> None:
    assert ask(runtime, []).answers == []


@pytest.mark.parametrize("at_once", [1, None])
def test_a_crowd_with_a_bad_request_fails(runtime: Runtime, at_once: int | None) -> None:
    with pytest.raises(RequestError, match="temperature"):
        ask(runtime, [REQUESTS[0], {**REQUESTS[1], "temperature": -1.0}], at_once)


def test_a_failed_answer_is_raised_and_nothing_more_is_asked() -> None:
    asked: list[Any] = []

    class Failing:
        def submit(self, request: Any, sink: Any) -> None:
            asked.append(request)
            sink(Chunk(error=RequestError("mode", "a mode", "fast")))

    with pytest.raises(RequestError):
        ask(Failing(), [{}] * 3, 1)  # type: ignore[arg-type]
    assert len(asked) == 1


def test_a_runtime_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def submit(self, request: Any, sink: Any) -> None:
            pass

    monkeypatch.setattr(asking, "PATIENCE", 0.01)
    with pytest.raises(MeasureError, match="2 requests"):
        ask(Silent(), [{}, {}])  # type: ignore[arg-type]


def test_the_chunks_of_an_answer_are_joined() -> None:
    answer = Answer()
    for at, chunk in enumerate((Chunk("", [1]), Chunk("ab", [2, 3]), Chunk("c", [4], finish_reason="length"))):
        answer.add(chunk, at + 1.0)
    assert (answer.chunk.text, answer.chunk.token_ids, answer.chunk.finish_reason) == ("abc", [1, 2, 3, 4], "length")
    assert (answer.runs, answer.first_seconds, answer.seconds) == ([2, 1], 2.0, 3.0)


def test_a_streamed_run_is_what_one_cycle_gave(runtime: Runtime) -> None:
    drafts = {"mode": "self_speculation", "block_length": 4, "max_tokens": 30, "stream": True, "return_token_ids": True}
    for answer in ask(runtime, [{**drafts, "text_input": f"prompt {number}"} for number in range(5)]).answers:
        assert len(answer.runs) == answer.chunk.counters.cycles
        assert 1 + sum(answer.runs) == len(answer.chunk.token_ids) == 30
        assert all(1 <= run <= 4 for run in answer.runs)


def test_answers_come_back_in_the_order_of_the_requests(runtime: Runtime) -> None:
    asked = [{"text_input": "ab", "max_tokens": count, "stream": count % 2 == 0} for count in (5, 2, 9, 1)]
    assert [len(answer.token_ids) for answer in ask(runtime, asked).chunks] == [5, 2, 9, 1]
