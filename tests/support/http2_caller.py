"""A caller that writes HTTP/2's frames by hand, as no library does that keeps its rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from hpack import Decoder
from trimode.server.http2 import frames
from trimode.server.http2.frames import frame, header_block, settings

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
LIVE = "/inference.GRPCInferenceService/ServerLive"
EMPTY_MESSAGE = bytes(5)


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    number: int
    payload: bytes


class RawCaller:
    """A connection to host:port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder()

    @classmethod
    async def to(
        cls, address: str, values: Iterable[tuple[int, int]] = (), *, greet: bool = True, source: str = "127.0.0.1"
    ) -> RawCaller:
        host, _, port = address.rpartition(":")
        made = cls(*await asyncio.open_connection(host, int(port), local_addr=(source, 0)))
        if greet:
            made.send(frames.PREFACE + settings(values))
        return made

    def send(self, *sent: bytes) -> None:
        self._writer.write(b"".join(sent))

    def call(self, number: int, path: str, *more: tuple[str, str], flags: int = frames.END_HEADERS) -> None:
        """Begin a call."""
        kind = dict(more).get("content-type", "application/grpc")
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), ("content-type", kind)]
        rest = [field for field in more if field[0] != "content-type"]
        self.send(frame(frames.HEADERS, flags, number, header_block([*fields, *rest])))

    def data(self, number: int, data: bytes, *, last: bool = False) -> None:
        self.send(frame(frames.DATA, frames.END_STREAM if last else 0, number, data))

    async def frame(self, *kinds: int) -> Frame:
        """Return the next frame of these kinds; raises IncompleteReadError at the connection's end."""
        while True:
            head = await self._reader.readexactly(frames.HEAD_BYTES)
            high, low, kind, flags, number = frames.HEAD.unpack(head)
            payload = await self._reader.readexactly(high << 16 | low)
            if kind in kinds:
                return Frame(kind, flags, number, payload)

    async def fields(self) -> dict[str, str]:
        """Return the next block of header fields."""
        found = await self.frame(frames.HEADERS)
        return {str(name): str(value) for name, value in self._decoder.decode(found.payload)}

    async def fault(self) -> tuple[int, str]:
        """Return the code and the text with which the server ends the connection, which it must do."""
        found = await self.frame(frames.GOAWAY)
        assert await self._reader.read() == b""
        self._writer.close()
        return int.from_bytes(found.payload[4:8], "big"), found.payload[8:].decode()

    async def ended(self) -> None:
        """Wait for the end of the connection, whatever comes before."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            pass
        self._writer.close()

    def close(self) -> None:
        self._writer.close()
