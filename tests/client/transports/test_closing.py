"""A client that was closed, and a client in another event loop."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from trimode_client import AsyncClient, Client, ClosedError
from trimode_client.transports import retrying

from tests.support.fake_server import FIRST, LAST, SERVERS, STALL, Script

protocols = pytest.mark.parametrize("protocol", ["grpc", "http"])


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_SECONDS", 0.01)


@protocols
def test_a_closed_client_says_so(protocol: str) -> None:
    with SERVERS[protocol](Script(FIRST, LAST)) as url:
        client = Client(url, protocol)  # type: ignore[arg-type]
        late = client.stream("hi")
        client.close()
        client.close()
        for use in (lambda: next(late), lambda: client.generate("hi"), client.health, client.wait_until_ready):
            with pytest.raises(ClosedError, match="the client is closed; make another one"):
                use()


@protocols
def test_a_closed_asyncio_client_says_so(protocol: str) -> None:
    async def use(url: str) -> None:
        client = AsyncClient(url, protocol)  # type: ignore[arg-type]
        assert (await client.stream("hi").finish()).text == "Hello"
        await client.close()
        await client.close()
        for used in (client.generate("hi"), client.health(), client.wait_until_ready()):
            with pytest.raises(ClosedError, match="the client is closed; make another one"):
                await used

    with SERVERS[protocol](Script(FIRST, LAST)) as url:
        asyncio.run(use(url))


@protocols
def test_an_asyncio_client_says_that_it_belongs_to_another_loop(protocol: str) -> None:
    async def use(client: AsyncClient) -> str:
        return (await client.stream("hi").finish()).text

    with SERVERS[protocol](Script(FIRST, LAST)) as url:
        client = AsyncClient(url, protocol)  # type: ignore[arg-type]

        async def first() -> None:
            assert await use(client) == "Hello"
            with pytest.raises(ClosedError, match="another event loop"):
                await asyncio.to_thread(lambda: asyncio.run(use(client)))
            await client.close()

        asyncio.run(first())


@protocols
def test_closing_the_client_ends_its_streams(protocol: str) -> None:
    script = Script(FIRST, STALL)
    with SERVERS[protocol](script) as url, Client(url, protocol) as client:  # type: ignore[arg-type]
        stream = client.stream("hi")
        next(stream)
        closing = threading.Timer(0.1, client.close)
        closing.start()
        with pytest.raises(ClosedError):
            next(stream)
        closing.join()
        assert script.left.wait(30)


@protocols
def test_closing_an_asyncio_client_ends_its_streams(protocol: str) -> None:
    async def use(url: str) -> None:
        client = AsyncClient(url, protocol)  # type: ignore[arg-type]
        stream = client.stream("hi")
        await anext(stream)
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.05)
        await client.close()
        with pytest.raises(ClosedError):
            await reading

    script = Script(FIRST, STALL)
    with SERVERS[protocol](script) as url:
        asyncio.run(use(url))


@pytest.mark.parametrize("script", [Script(FIRST, LAST), Script(FIRST, STALL)], ids=["ended", "left"])
def test_a_call_is_freed_once_its_stream_ends(script: Script) -> None:
    """Without a collection of cycles, which at a program's end may wait for gRPC's stopped thread forever."""

    def calls() -> list[object]:
        return [one for one in gc.get_objects() if type(one).__name__ == "_MultiThreadedRendezvous"]

    gc.collect()
    assert not calls()
    gc.disable()
    try:
        with SERVERS["grpc"](script) as url, Client(url, "grpc") as client, client.stream("hi") as stream:
            next(stream)
            assert len(calls()) == 1
            if script == Script(FIRST, LAST):
                list(stream)
            stream.close()
            assert not calls()
    finally:
        gc.enable()
