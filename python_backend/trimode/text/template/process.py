"""TemplateProcess: renders a chat template in a process of its own, which is killed when it takes too long or too much.

The process is started for the first chat that needs it and serves until the end. A short chat does not need it where
the template is known, see known.py; it is rendered in place. Knows no Jinja.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import Described, RequestError
from ..chat_template import MOST_CHARACTERS, ChatTemplate, Tools, check_syntax
from ..limited_process import LimitedProcess, TooMuchError
from .known import is_known, is_short
from .worker import PROCESSOR_SECONDS

WORKER = "trimode.text.template.worker"
WALL_SECONDS = 10.0
"""Seconds of one rendering. The limit of processor time comes first unless the machine is far too busy, or swaps."""
TRIES = 3
"""Renderings in a row that may take too long before the template is left alone for REST_SECONDS."""
REST_SECONDS = 30.0
"""Seconds for which such a template is refused untried: while it is tried, other requests for it wait."""
MOST_BYTES = 12 * MOST_CHARACTERS + 1024
"""Bytes of an answer: JSON writes a character as 12 bytes at most."""
THE_PROCESS = "the process that renders chat templates"
TOO_MUCH = f"could not be rendered by the chat template within {PROCESSOR_SECONDS:.0f} s and the memory it may take"

logger = logging.getLogger(__name__)


class TemplateProcess(LimitedProcess):
    """A template in a process of its own. Any thread may render; one rendering runs at a time in the process."""

    def __init__(self, text: str, special: Mapping[str, str]) -> None:
        """Check the syntax; `special` are the tokens that the template may write, by name.

        Raises:
            jinja2.TemplateError: it is not a template.
        """
        self.text = text
        super().__init__(WORKER, THE_PROCESS, {"template": text, "special": dict(special)}, MOST_BYTES)
        self._lock = threading.Lock()
        self._too_much = 0  # renderings in a row
        self._rests_until = 0.0  # of time.monotonic()
        check_syntax(text)
        self._in_place = ChatTemplate(text, special) if is_known(text, special) else None

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, enable_thinking: bool, field: str, tools: Tools = None
    ) -> str:
        """Return the prompt text of `messages`, ready for the assistant's turn; see ChatTemplate.render.

        Raises:
            RequestError: the template refuses these messages, or takes too long or too much memory.
            EngineError: the process cannot be started, or ended for a reason that is not the template's.
        """
        if self._in_place is not None and tools is None and is_short(messages):
            return self._in_place.render(messages, enable_thinking=enable_thinking, field=field)
        asked = {"messages": list(messages), "enable_thinking": enable_thinking, "tools": tools}
        with self._lock:
            if time.monotonic() < self._rests_until:
                raise RequestError(field, TOO_MUCH, Described(f"{len(messages)} messages"))
            try:
                reply = self._ask(asked, WALL_SECONDS)
            except TooMuchError as exc:
                self._note_too_much()
                raise RequestError(field, TOO_MUCH, Described(f"{len(messages)} messages")) from exc
            self._too_much = 0
        if "refused" in reply:
            raise RequestError(field, reply["refused"], messages)
        return str(reply["text"])

    def close(self) -> None:
        """End the process, if there is one; the next rendering starts another."""
        with self._lock:
            self._end()

    def _note_too_much(self) -> None:
        self._too_much += 1
        logger.error("the chat template took too long or too much memory: its process was ended")
        if self._too_much >= TRIES:
            self._too_much, self._rests_until = 0, time.monotonic() + REST_SECONDS
