"""SseParser: the data of server-sent events, from bytes that may be cut anywhere.

Knows the event-stream format only. It skips the fields other than `data`, as Triton sends none that matter.
httpx's iter_lines would not do: it also ends lines at U+0085 and U+2028, which JSON may hold as they are.
"""

from __future__ import annotations

from collections.abc import Iterator


class SseParser:
    """Feed it bytes as they arrive; lines may end in LF, CR or CR LF, characters may be split."""

    def __init__(self) -> None:
        self._line = b""
        self._data: list[bytes] = []
        self._after_cr = False

    def feed(self, piece: bytes) -> Iterator[str]:
        """Yield the data of each event that `piece` completes."""
        if not piece:
            return
        if self._after_cr:
            piece = piece.removeprefix(b"\n")
        self._after_cr = piece.endswith(b"\r")
        lines = (self._line + piece).splitlines(keepends=True)
        self._line = lines.pop() if lines and not lines[-1].endswith((b"\n", b"\r")) else b""
        for line in lines:
            if text := line.rstrip(b"\r\n"):
                self._take(text)
            elif self._data:
                yield self._event()

    def end(self) -> Iterator[str]:
        """Yield the data of an event that the stream's end left without its empty line."""
        if self._line:
            self._take(self._line)
            self._line = b""
        if self._data:
            yield self._event()

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))

    def _event(self) -> str:
        data, self._data = b"\n".join(self._data), []
        return data.decode("utf-8", errors="replace")
