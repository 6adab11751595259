"""Which tokens may be chosen, and log-probabilities of others and of prompts, through the SDK and the command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode_client import InvalidRequestError

from tests.server.sdk import PROMPT, Protocol, client, protocols, run
from tests.server.server import Server

KNOBS: dict[str, Any] = {"max_tokens": 12, "end_id": -1, "mode": "autoregressive"}


@protocols
def test_tokens_are_moved_allowed_and_forbidden(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking:
        free = asking.generate(text_input=PROMPT, **KNOBS)
        first = free.token_ids[0]
        assert asking.generate(text_input=PROMPT, **KNOBS, logit_bias={first: -100}).token_ids[0] != first
        allowed = asking.generate(text_input=PROMPT, **KNOBS, allowed_token_ids=[70, 71], bad_token_ids=[70])
        assert set(allowed.token_ids) == {71}
        word = free.text.split()[0]
        assert word not in asking.generate(text_input=PROMPT, **KNOBS, bad_words=[word]).text
        stopped = asking.generate(text_input=PROMPT, **KNOBS, stop_token_ids=[free.token_ids[2]])
        assert (stopped.token_ids, stopped.finish_reason) == (free.token_ids[:3], "stop")
        with pytest.raises(InvalidRequestError, match="must leave a token to choose"):
            asking.generate(text_input=PROMPT, **KNOBS, allowed_token_ids=[70], bad_token_ids=[70])


@protocols
def test_log_probabilities_of_other_tokens_and_of_the_prompt(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking:
        asked = {**KNOBS, "return_log_probs": True, "top_log_probs": 3, "return_prompt_log_probs": True}
        whole = asking.generate(text_input=PROMPT, **asked)
        streamed = asking.stream(text_input=PROMPT, **asked).finish()
    for answer in (whole, streamed):
        assert [len(ids) for ids, _ in answer.top] == [3] * 12
        assert tuple(ids[0] for ids, _ in answer.top) == answer.token_ids
        assert answer.prompt is not None and len(answer.prompt.ids) == answer.num_input_tokens
        assert len(answer.prompt.log_probs) == len(answer.prompt.top) == len(answer.prompt.ids) - 1
    assert streamed.prompt == whole.prompt


def test_the_command_has_flags_for_them(server: Server) -> None:
    asked = ("generate", PROMPT, "--max-tokens", "4", "--mode", "autoregressive", "--json")
    free = json.loads(run(server, *asked).stdout)
    bias = json.dumps({str(free["token_ids"][0]): -100})
    moved = json.loads(run(server, *asked, "--logit-bias", bias, "--bad", "the", "--min-tokens", "4").stdout)
    assert moved["token_ids"][0] != free["token_ids"][0] and len(moved["token_ids"]) == 4
