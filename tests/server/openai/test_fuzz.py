"""Requests of wrong types, nulls, unknown names and huge values: each is answered or refused, and the server lives on.

FUZZ_REQUESTS and FUZZ_SEED ask for more of them, or for others.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from typing import Any

import aiohttp
import pytest

from tests.server.openai.asking import ANSWER, CHAT, QUESTION, post
from tests.server.server import Server
from tests.support.openai_requests import Requests

COUNT = int(os.environ.get("FUZZ_REQUESTS", "3000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
AT_ONCE = 8  # each runs up to 8 answers at once, and 80 may run or wait
SECONDS = 60.0


def errors_in(status: int, content: bytes) -> list[dict[str, Any]]:
    """The errors of an answer, as a whole or as an event of a stream."""
    if content.startswith((b"data: ", b"event: ")):
        found = [line.removeprefix("data: ") for line in content.decode().splitlines() if line.startswith("data: {")]
        events = [json.loads(line) for line in found]
        return [event["error"] for event in events if event.get("error") and "output" not in event]
    body = json.loads(content)
    return [body["error"]] if status != 200 else []


def complaint(status: int, content: bytes) -> str:
    """What is wrong with an answer, "" if nothing is."""
    if status >= 500:
        return f"status {status}"
    errors = errors_in(status, content)
    if status != 200 and not (errors and errors[0]["message"] and errors[0]["type"]):
        return "an error without OpenAI's form"
    if any(error["type"] in ("server_error", "api_error") for error in errors):
        return f"failed in a stream: {errors}"
    return ""


@pytest.mark.slow
def test_any_request_is_answered_or_refused(server: Server) -> None:
    requests = Requests(SEED)
    statuses: Counter[int] = Counter()
    wrong: list[tuple[str, str, bytes]] = []
    left = iter(range(COUNT))

    async def worker(session: aiohttp.ClientSession) -> None:
        for _ in left:
            path, body = requests.next()
            try:
                async with session.post(path, data=body) as answer:
                    content = await answer.read()
                statuses[answer.status] += 1
                said = complaint(answer.status, content)
            except (TimeoutError, aiohttp.ClientError, ValueError, KeyError, TypeError) as exc:
                said, content = repr(exc), b""
            if said:
                wrong.append((said, path, body[:2000] + b" -> " + content[:500]))

    async def run() -> None:
        base, limit = f"http://127.0.0.1:{server.http_port}", aiohttp.ClientTimeout(total=SECONDS)
        async with aiohttp.ClientSession(base, timeout=limit) as session:
            await asyncio.gather(*(worker(session) for _ in range(AT_ONCE)))

    asyncio.run(run())
    assert not wrong, "\n".join(map(str, wrong[:20]))
    assert min(statuses[200], statuses[400]) > COUNT // 10, statuses
    assert post(server, "/v1/completions", {"prompt": "a", "max_tokens": 1})[0] == 200
    status, answer = post(server, CHAT, {"messages": QUESTION, "max_tokens": 99})
    assert status == 200 and answer["choices"][0]["message"]["content"].endswith(ANSWER)
