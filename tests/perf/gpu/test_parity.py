"""What every engine is asked, and what is made of its answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimode_perf.gpu import parity


def test_every_mode_is_asked_of_every_checkpoint() -> None:
    asked = {checkpoint.name: questions for checkpoint, questions in parity.questions()}
    assert list(asked) == ["plain", "wide", "yarn", "nano"]
    for questions in asked.values():
        assert {one.mode for one in questions} == set(parity.MODES.values())
        assert any(one.quadratic for one in questions) == (questions is not asked["nano"])
        assert all(one.expected and len(one.expected) <= one.max_tokens for one in questions)
    assert len(asked["nano"]) == 3 * 8


def test_an_engine_that_differs_in_one_token_is_told() -> None:
    (wrong, *_) = next(questions for checkpoint, questions in parity.questions() if checkpoint.name == "yarn")

    @contextmanager
    def decoding(checkpoint: Path, longest: int) -> Iterator[parity.Decode]:
        try:
            yield lambda asked: [*asked.expected[:-1], -1] if asked == wrong else asked.expected
        finally:
            closed.append(checkpoint)

    closed: list[Path] = []
    told = parity.check(parity.Engine("a fake", decoding))
    assert told["differing"] == [f"yarn/{wrong.name}"]
    assert len(closed) == 4
    assert sum(row["asked"] - row["same_ids"] for row in told["rows"]) == 1
    assert {row["mode"] for row in told["rows"]} == set(parity.KINDS)


def test_an_engine_without_quadratic_drafts_is_not_asked_for_them() -> None:
    @contextmanager
    def decoding(checkpoint: Path, longest: int) -> Iterator[parity.Decode]:
        yield lambda asked: asked.expected

    told = parity.check(parity.Engine("a fake", decoding, quadratic=False))
    assert {row["mode"] for row in told["rows"]} == {*parity.MODES.values()}
