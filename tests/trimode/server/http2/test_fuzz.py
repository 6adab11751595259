"""Frames of any kind, in any order: the connection may end, and nothing else may."""

from __future__ import annotations

import random

import grpc
import pytest
from trimode.server.grpc_front.framing import framed
from trimode.server.http2 import frames
from trimode.server.http2.frames import frame, header_block

from tests.support.http2_caller import LIVE, STREAM, RawCaller
from tests.support.kserve import Scene, play, request

CONNECTIONS, FRAMES = 150, 30
ASKED = framed(request().SerializeToString())


def anything(chance: random.Random) -> bytes:
    """A frame that is often nearly right."""
    path = chance.choice((STREAM, LIVE, "/x", ""))
    kind = chance.choice(("application/grpc", "text/html"))
    head = header_block([(":method", "POST"), (":path", path), ("content-type", kind), ("grpc-timeout", "1n")])
    payload = chance.choice(
        (b"", head, ASKED, ASKED[:7], bytes(4), bytes(8), b"\xff" * 4, chance.randbytes(chance.randrange(40)))
    )
    number = chance.choice((0, 1, 1, 3, 5, 7, 2, 2**31 - 1))
    flags = chance.choice((0, frames.END_STREAM, frames.END_HEADERS, frames.END_HEADERS, 0xFF))
    return frame(chance.randrange(11), flags, number, payload)


@pytest.mark.parametrize("seed", range(4))
def test_no_frame_ends_more_than_its_connection(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(seed)

    async def act(scene: Scene) -> None:
        running = scene.stub.ModelStreamInfer()
        await running.write(request("a"))
        assert (await running.read()).infer_response.id == "a"
        for _ in range(CONNECTIONS):
            caller = await RawCaller.to(scene.address)
            head = header_block([(":method", "POST"), (":path", STREAM), ("content-type", "application/grpc")])
            caller.send(frame(frames.HEADERS, frames.END_HEADERS, 1, head))
            caller.send(*(anything(chance) for _ in range(chance.randrange(FRAMES))))
            caller.close()
        await running.write(request("b"))
        assert (await running.read()).infer_response.id == "b"
        await running.done_writing()
        assert await running.read() is grpc.aio.EOF

    play(act)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
