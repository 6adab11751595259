"""How the jobs of a request run: a few at once, to their end, all by one bundle."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from trimode.errors import LostError, Refusal
from trimode.server.access.turnstile import Visit
from trimode.server.backend_client import BackendClient
from trimode.server.gate import Gate
from trimode.server.models.model_backend import ModelBackend
from trimode.server.openai.completions import translate
from trimode.server.openai.shared.work import AT_ONCE, Worker
from trimode.server.serving import Limits

from tests.support.openai_facts import error_of, facts

PATIENCE = 60.0  # seconds for what should come at once


class Living:
    alive = True
    stopping = False


class Open:
    """A gate before one bundle, which no other follows."""

    generation = 0
    generate_path = "/generate"

    async def passed(self) -> None:
        """It is open."""

    @asynccontextmanager
    async def holding(self, generation: int) -> AsyncIterator[None]:
        yield


class Backend(Open):
    """Answers each job with its seed as text, after as many turns of the event loop as its seed says."""

    def __init__(self, failing: int | None = None) -> None:
        self.failing = failing
        self.running = self.most = self.left = 0

    @asynccontextmanager
    async def ask(self, path: str, body: bytes, tag: str) -> AsyncIterator[Any]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            yield Reply(json.loads(body)["seed"], self.failing)
        except asyncio.CancelledError:
            self.left += 1
            raise
        finally:
            self.running -= 1


class Reply:
    complete = True

    def __init__(self, seed: int, failing: int | None) -> None:
        self.seed = seed
        self.status = 400 if seed == failing else 200

    async def read(self) -> bytes:
        for _ in range(self.seed):
            await asyncio.sleep(0)
        if self.status != 200:
            return b'{"error": "invalid_value: seed is bad"}'
        return json.dumps({"text_output": str(self.seed), "finish_reason": "stop"}).encode()


def jobs(count: int) -> Any:
    return translate({"prompt": "a", "n": count, "seed": 1, "max_tokens": 5}, facts())


def test_jobs_run_a_few_at_once_and_answers_keep_their_order() -> None:
    backend = Backend()
    found = asyncio.run(Worker(backend, Living()).whole(jobs(20), Visit("caller")))
    assert [piece["text_output"] for piece in found] == [str(seed) for seed in range(1, 21)]
    assert backend.most == AT_ONCE and backend.running == 0


def test_a_job_that_fails_ends_the_others() -> None:
    backend = Backend(failing=2)
    error = error_of(lambda: asyncio.run(Worker(backend, Living()).whole(jobs(20), Visit("caller"))))
    assert (error.status, error.param) == (400, "seed")
    assert backend.running == 0 and backend.left > 0


class LateEnd:
    """A stream whose body ends some time after its last event; `complete` once that was read."""

    status = 200
    complete = False

    def __init__(self, end: Exception | None = None) -> None:
        self.end = end

    async def next(self) -> bytes:
        return b'data: {"text_output": "a", "finish_reason": "stop"}\n\n'

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if self.end is not None:
            raise self.end
        self.complete = True
        return b""


@pytest.mark.parametrize("end", [None, LostError("gone"), TimeoutError()])
def test_a_stream_is_read_to_its_end_and_its_answer_is_whole_whatever_comes_then(end: Exception | None) -> None:
    stream = LateEnd(end)

    class Streaming(Open):
        @asynccontextmanager
        async def ask(self, path: str, body: bytes, tag: str) -> AsyncIterator[Any]:
            yield stream

    asked = translate({"prompt": "a", "stream": True}, facts())
    found = asyncio.run(Worker(Streaming(), Living()).whole(asked, Visit("caller")))
    assert [piece["text_output"] for piece in found] == ["a"]
    assert stream.complete == (end is None)


class Waiting:
    """A server that answers each request with its seed as text, from when `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                job = json.loads(await reader.readexactly(length))
                self.asked += 1
                await self.go.wait()
                body = json.dumps({"text_output": str(job["seed"]), "finish_reason": "stop"}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def until(state: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not state():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def served(backend: Waiting, gate: Gate) -> AsyncIterator[ModelBackend]:
    """A model behind which is `backend`, which has a socket of its own."""
    async with await asyncio.start_server(backend, "127.0.0.1") as server:
        client = BackendClient(server.sockets[0].getsockname()[1])
        async with contextlib.aclosing(client):
            yield ModelBackend(client, Living(), Limits(), gate)


def test_a_request_of_more_jobs_than_run_at_once_is_answered_by_one_bundle() -> None:
    async def run() -> None:
        backend, gate = Waiting(), Gate()
        async with served(backend, gate) as model:
            asking = asyncio.create_task(Worker(model, Living()).whole(jobs(AT_ONCE + 1), Visit("caller")))
            await until(lambda: backend.asked == AT_ONCE)
            gate.close()  # as for SIGHUP: a successor follows once nothing runs
            backend.go.set()
            await until(lambda: not model.running)
            gate.generation += 1
            gate.open()
            async with asyncio.timeout(PATIENCE):
                found = await asking
        assert [piece["text_output"] for piece in found] == [str(seed) for seed in range(1, AT_ONCE + 2)]

    asyncio.run(run())


@pytest.mark.parametrize("count", [1, AT_ONCE + 1])
def test_a_request_that_waited_over_the_change_is_refused_and_holds_nothing(count: int) -> None:
    async def run() -> None:
        backend, gate = Waiting(), Gate()
        async with served(backend, gate) as model:
            worker = Worker(model, Living())
            gate.close()
            asking = asyncio.create_task(worker.whole(jobs(count), Visit("caller")))
            await asyncio.sleep(0)
            assert model.running == 0  # what waits holds up no successor
            gate.generation += 1
            gate.open()
            with pytest.raises(Refusal, match="the model was replaced while the request waited"):
                await asking
            assert (model.running, backend.asked) == (0, 0)

    asyncio.run(run())
