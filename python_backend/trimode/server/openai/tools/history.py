"""The turns of a conversation, with calls and their results. Knows how each endpoint's clients write them.

How the model reads a turn is prompt.py's matter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..pictures import UserContent
from ..shared.errors import refused
from ..shared.kinds import short_text, text
from .reading import MESSAGES, Shape, function_name
from .strict_json import loads

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class PastCall:
    """A call of an earlier turn; `arguments` is what its JSON says."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """One message.

    Attributes:
        content: a text; of a user, texts and pictures too.
        calls: that the assistant made, after what it said.
        result_of: the call whose result a message of the role tool is; `failed` says that it is an error.
    """

    role: Role
    content: UserContent
    calls: tuple[PastCall, ...] = ()
    result_of: PastCall | None = None
    failed: bool = False


class History:
    """The calls of the messages read so far."""

    def __init__(self) -> None:
        self._calls: dict[str, PastCall] = {}

    def call(self, field: str, item: object, shape: Shape) -> PastCall:
        """Return a call that an assistant made.

        Raises:
            FaceError: the item is not the call of a function.
        """
        if not isinstance(item, Mapping):
            raise refused(field, "must be an object", item, "wrong_type")
        place, inside = field, dict[str, Any](item)
        if shape.inside:
            if item.get("type", "function") != "function":
                raise refused(f"{field}.type", "must be function", item["type"], "not_applicable")
            place, found = f"{field}.{shape.inside}", item.get(shape.inside)
            if not isinstance(found, Mapping):
                raise refused(place, "must be an object", found, "wrong_type")
            inside = dict(found)
        name = function_name(f"{place}.name", inside.get("name"))
        arguments = _arguments(f"{place}.{shape.arguments}", inside.get(shape.arguments), as_text=shape is not MESSAGES)
        identity = short_text(f"{field}.{shape.id}", item.get(shape.id))
        made = self._calls[identity] = PastCall(identity, name, arguments)
        return made

    def result(self, field: str, identity: object, content: str, *, failed: bool = False) -> Turn:
        """Return the result of the call whose id stands in `field`.

        Raises:
            FaceError: there is no such call before it.
        """
        if not isinstance(identity, str) or identity not in self._calls:
            raise refused(field, "must be the id of a call before it", identity)
        return Turn("tool", content, result_of=self._calls[identity], failed=failed)


def _arguments(field: str, value: object, *, as_text: bool) -> dict[str, Any]:
    try:
        read = loads(value) if isinstance(value, str) and as_text else value
        written = json.dumps(read, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        read, written = None, ""
    if not isinstance(read, dict) or (as_text and not isinstance(value, str)):
        limit = "must be the text of a JSON object" if as_text else "must be an object"
        raise refused(field, limit, value)
    text(field, written)
    return read
