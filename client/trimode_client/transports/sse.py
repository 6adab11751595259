"""SseParser: the data of server-sent events, from bytes that may be cut anywhere.

Knows the event-stream format only. It skips the fields other than `data`, as Triton sends none that matter.
"""

from __future__ import annotations

from collections.abc import Iterator


class SseParser:
    """Feed it bytes as they arrive; lines may end in LF, CR or CR LF, characters may be split."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._after_cr = False

    def feed(self, piece: bytes) -> Iterator[str]:
        """Yield the data of each event that `piece` completes."""
        for byte in piece:
            after_cr, self._after_cr = self._after_cr, byte == 0x0D
            if byte == 0x0A and after_cr:
                continue
            if byte not in (0x0A, 0x0D):
                self._line.append(byte)
                continue
            line, self._line = bytes(self._line), bytearray()
            if line:
                self._take(line)
            elif self._data:
                yield self._event()

    def end(self) -> Iterator[str]:
        """Yield the data of an event that the stream's end left without its empty line."""
        if self._line:
            self._take(bytes(self._line))
            self._line = bytearray()
        if self._data:
            yield self._event()

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))

    def _event(self) -> str:
        data, self._data = b"\n".join(self._data), []
        return data.decode("utf-8", errors="replace")
