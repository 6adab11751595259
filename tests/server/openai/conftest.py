"""The openai package as a client of the server."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.server.server import Server


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.http_port}/v1", api_key="-", max_retries=0) as made:
        yield made
