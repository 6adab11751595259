"""Many different requests at once: each gets what it gets alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.server.server import Server
from tests.server.wire import events, generate, over_grpc, text_of

VARIANTS: tuple[dict[str, Any], ...] = (
    {"mode": "autoregressive"},
    {"mode": "diffusion"},
    {"mode": "self_speculation"},
    {"mode": "diffusion", "reveal": "steps", "denoise_steps": 4, "block_length": 16},
    {"mode": "self_speculation", "block_length": 8},
    {"mode": "autoregressive", "temperature": 0.8, "top_p": 0.95, "seed": 11},
    {"mode": "diffusion", "temperature": 0.7, "seed": 12},
    {"mode": "autoregressive", "repetition_penalty": 1.3},
)
REQUESTS: list[dict[str, Any]] = [
    {"text_input": f"Number {number} " * (1 + number % 5), "max_tokens": 8 + number, "end_id": -1, **variant}
    for number, variant in enumerate(VARIANTS * 4)
]


def ask(server: Server, number: int) -> str:
    """Take turns among the three ways in."""
    request = REQUESTS[number]
    match number % 3:
        case 0:
            return str(generate(server.http_port, request)[1]["text_output"])
        case 1:
            return text_of(list(events(server.http_port, {**request, "stream": True})))
        case _:
            return text_of(over_grpc(server.grpc_port, {**request, "stream": True}))


def test_32_requests_at_once_get_what_each_gets_alone(server: Server) -> None:
    alone = [ask(server, number) for number in range(32)]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda number: ask(server, number), range(32)))
    assert together == alone
