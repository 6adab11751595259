"""The same questions in the other forms a chat can have: after a system message, as a second turn, with thinking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..common.prompts import Prompt

SYSTEM = "You are a helpful assistant."
WORKED = "\nAnswer: "
"""What parts the worked steps of a reply from its result."""


@dataclass(frozen=True)
class Form:
    """Prompts in one form, the request's fields beside them, and the right text of each answer."""

    name: str
    prompts: list[Prompt]
    fields: dict[str, Any]
    right: list[str]


def forms(prompts: Sequence[Prompt]) -> list[Form]:
    """Return `prompts`, all of them chats with an answer, in every form."""
    answers = [prompt.answer or "" for prompt in prompts]
    worked = [prompt for prompt in prompts if WORKED in (prompt.answer or "")]
    return [
        Form("thinking", worked, {"enable_thinking": True}, [_thought(prompt) for prompt in worked]),
        Form("second_turn", [_second(p, prompts[i - 1]) for i, p in enumerate(prompts)], {}, answers),
        Form("system", [_with(p, {"role": "system", "content": SYSTEM}) for p in prompts], {}, answers),
    ]


def _thought(prompt: Prompt) -> str:
    """Return the reply with its steps as the thought."""
    steps, result = (prompt.answer or "").rsplit(WORKED, 1)
    return f"{steps}\n</think>{WORKED.lstrip()}{result}"


def _second(prompt: Prompt, earlier: Prompt) -> Prompt:
    return _with(prompt, *(earlier.messages or ()), {"role": "assistant", "content": earlier.answer or ""})


def _with(prompt: Prompt, *before: dict[str, str]) -> Prompt:
    return replace(prompt, messages=(*before, *(prompt.messages or ())))
