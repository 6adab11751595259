"""How much messages say, and whether it can fit, before their special tokens are looked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import PromptTooLongError


def written_in(message: Mapping[str, Any]) -> str:
    """Return what a message says, the arguments of its calls included and its pictures left out."""
    given = [call["function"]["arguments"] for call in message.get("tool_calls", ())]
    content = message.get("content", "")
    said = "".join(one for one in content if isinstance(one, str)) if isinstance(content, tuple) else str(content)
    return "".join([said, *(json.dumps(one, ensure_ascii=False) for one in given)])


def check_length(texts: Sequence[str], capacity: int, longest: int, field: str) -> None:
    """Refuse messages that cannot fit: finding the special tokens of a million characters takes a second.

    Args:
        texts: what each message says.
        capacity: tokens that the model holds. longest: characters of its longest token.
        field: where they came from, for errors.

    Raises:
        PromptTooLongError: they cannot.
    """
    characters = sum(map(len, texts))
    if characters > capacity * longest or len(texts) > capacity:
        limit = f"must fit the capacity of {capacity} tokens"
        raise PromptTooLongError(field, limit, f"{len(texts)} messages of {characters} characters")
