"""Tells a thought from the answer that follows it: what stands before the first </think>, however the text is cut."""

from __future__ import annotations

from ....text.overlap import overlap
from ....text.tokenizer import END_THINK


class Thinking:
    """Splits one answer; `thinks` says whether it begins with a thought."""

    def __init__(self, *, thinks: bool) -> None:
        self._thinks = thinks
        self._held = ""

    def push(self, text: str, *, last: bool) -> tuple[str, str]:
        """Take in the next text; return what it adds to the thought and to the answer."""
        if not self._thinks:
            return "", text
        self._held += text
        thought, end, answer = self._held.partition(END_THINK)
        if end:
            self._thinks, self._held = False, ""
            return thought, answer
        keep = 0 if last else overlap(self._held, END_THINK, proper=True)
        cut = len(self._held) - keep
        thought, self._held = self._held[:cut], self._held[cut:]
        return thought, ""
