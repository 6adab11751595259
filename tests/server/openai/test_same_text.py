"""This face gives the text that generate gives for the same request."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
import pytest
from openai.types import Completion

from tests.server.openai.asking import ANSWER, LINES, MODES, QUESTION
from tests.server.server import Server
from tests.server.wire import PATH, generate

COUNT, AT_ONCE, LENGTH = 200, 16, 48
"""Held-out prompts, spread over all domains; requests that run at once; the most tokens of an answer."""


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_held_out_prompts_have_the_text_of_generate_whole_and_streamed(server: Server, mode: str) -> None:
    chosen = [LINES[at * len(LINES) // COUNT] for at in range(COUNT)]

    async def answers(line: dict[str, Any], client: openai.AsyncOpenAI, plain: httpx.AsyncClient) -> list[str]:
        prompt = {"messages": line["messages"]} if "messages" in line else {"text_input": line["prompt"]}
        found = await plain.post(f"{PATH}/generate", json={**prompt, "mode": mode, "max_tokens": LENGTH})
        asked: dict[str, Any] = {"model": f"nano:{mode}", "max_tokens": LENGTH}
        said = ""
        if "messages" in line:
            whole = await client.chat.completions.create(**asked, **prompt)
            async for chunk in await client.chat.completions.create(**asked, **prompt, stream=True):
                said += chunk.choices[0].delta.content or ""
            return [found.json()["text_output"], str(whole.choices[0].message.content), said]
        text = await client.completions.create(**asked, prompt=line["prompt"])
        async for part in await client.completions.create(**asked, prompt=line["prompt"], stream=True):
            said += part.choices[0].text
        return [found.json()["text_output"], text.choices[0].text, said]

    async def run() -> list[list[str]]:
        base, turns = f"http://127.0.0.1:{server.http_port}", asyncio.Semaphore(AT_ONCE)
        async with (
            openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="-", max_retries=0) as client,
            httpx.AsyncClient(base_url=base, timeout=60) as plain,
        ):

            async def one(line: dict[str, Any]) -> list[str]:
                async with turns:
                    return await answers(line, client, plain)

            return await asyncio.gather(*map(one, chosen))

    wrong = [line for line, texts in zip(chosen, asyncio.run(run()), strict=True) if len(set(texts)) > 1]
    assert wrong == []


@pytest.mark.parametrize("mode", MODES)
def test_a_completion_is_what_generate_gives(server: Server, client: openai.OpenAI, mode: str) -> None:
    request: dict[str, Any] = {"mode": mode, "max_tokens": 24, "temperature": 0.8, "seed": 5, "stop_words": ["the"]}
    _, expected = generate(server.http_port, {"text_input": "Once upon", **request})
    for stream in (False, True):
        asked: dict[str, Any] = {"model": f"nano:{mode}", "prompt": "Once upon", "max_tokens": 24, "temperature": 0.8}
        found = client.completions.create(**asked, seed=5, stop="the", stream=stream)
        parts = [found] if isinstance(found, Completion) else list(found)
        assert "".join(part.choices[0].text for part in parts) == expected["text_output"]


def test_the_asynchronous_client_runs_many_at_once(server: Server) -> None:
    async def ask() -> list[str]:
        base = f"http://127.0.0.1:{server.http_port}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="-", max_retries=0) as client:

            async def one(mode: str) -> str:
                stream = await client.chat.completions.create(model=f"nano:{mode}", messages=QUESTION, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*(one(mode) for mode in MODES[1:] for _ in range(2)))

    assert all(text.endswith(ANSWER) for text in asyncio.run(ask()))
