"""What the OpenAI face knows of nano, and small pieces of answers as generate gives them."""

from __future__ import annotations

from functools import cache
from typing import Any

from trimode.server.openai.shared.asked import Asked
from trimode.server.openai.shared.choice import Choice
from trimode.server.openai.shared.errors import FaceError
from trimode.server.openai.shared.facts import Facts
from trimode.server.openai.shared.model_names import ModelNames
from trimode.text.tokenizer import Tokenizer

from tests.support.layout import ROOT

END_ID = 11
COUNTS = {
    "num_input_tokens": 5,
    "num_output_tokens": 3,
    "cached_tokens": 2,
    "image_tokens": 0,
    "verify_forwards": 0,
    "total_draft_tokens": 0,
    "total_accepted_draft_tokens": 0,
    "max_draft_tokens": 0,
    "accepted_prediction_tokens": 0,
    "rejected_prediction_tokens": 0,
}


@cache
def facts() -> Facts:
    tokenizer = Tokenizer.load(ROOT / "checkpoints" / "nano")
    return Facts(ModelNames(("nano", "other")), tokenizer, 2048, 32, END_ID, created=1)


def ids_of(text: str) -> list[int]:
    tokenizer = facts().tokenizer
    assert tokenizer is not None
    return tokenizer.encode(text)


def piece(text: str, ending: str | None = None, **more: Any) -> dict[str, Any]:
    """A piece of an answer; with an `ending` the last one."""
    last = {} if ending is None else {"finish_reason": ending, **COUNTS}
    return {"text_output": text, **last, **more}


def answered(asked: Asked, *pieces: dict[str, Any]) -> Choice:
    """The choice that took these pieces."""
    choice = Choice(asked, facts())
    for one in pieces:
        choice.take(one)
    return choice


def error_of(call: Any, *arguments: Any) -> FaceError:
    """The error that a call raises."""
    try:
        call(*arguments)
    except FaceError as exc:
        return exc
    raise AssertionError(f"{call} took {arguments}")
