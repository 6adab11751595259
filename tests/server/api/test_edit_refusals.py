"""Gaps and revisions that the server refuses, over both protocols, each with its field and type."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.refusals import refused, refused_over_grpc
from tests.server.server import Server

GAP = {"text_input": "a", "suffix": "b"}
REVISION = {"text": "abcdef"}
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "spans that overlap": ({**REVISION, "spans": "[[0,4],[2,6]]"}, "invalid_value", "spans must be in order"),
    "spans out of order": ({**REVISION, "spans": "[[4,5],[0,1]]"}, "invalid_value", "spans must be in order"),
    "an empty span": ({**REVISION, "spans": "[[3,3]]"}, "invalid_value", "spans must hold pairs"),
    "a span beyond the text": ({**REVISION, "spans": "[[0,1],[2,7]]"}, "invalid_value", "spans must lie inside"),
    "a span of no numbers": ({**REVISION, "spans": '[["a",1]]'}, "wrong_type", "spans must hold pairs"),
    "a span that is no JSON": ({**REVISION, "spans": "[[0,"}, "bad_json", "spans must be valid JSON"),
    "no text": ({"text": ""}, "invalid_value", "text must not be empty"),
    "text and prompt": ({**REVISION, "text_input": "a"}, "bad_prompt", "text_input, input_ids, messages"),
    "text and suffix": ({**REVISION, "suffix": "a"}, "not_applicable", "suffix"),
    "spans without a text": ({"text_input": "a", "spans": "[[0,1]]"}, "not_applicable", "spans needs text"),
    "two ways to pick": (
        {**REVISION, "revise_threshold": -1.0, "revise_fraction": 0.5},
        "not_applicable",
        "revise_threshold does not go together with revise_fraction",
    ),
    "a gap too long": ({**GAP, "infill_tokens": 1025}, "invalid_value", "infill_tokens must be between 1 and 1024"),
    "gaps too long together": (
        {"segments": json.dumps(["a", *[{"infill_tokens": 1000}] * 3])},
        "prompt_too_long",
        "segments must",
    ),
    "a text too long to revise": ({"text": "word " * 2100}, "prompt_too_long", "text must"),
    "a gap in mode autoregressive": ({**GAP, "mode": "autoregressive"}, "not_applicable", "mode must be diffusion"),
    "a gap in self-speculation": ({**GAP, "mode": "self_speculation"}, "not_applicable", "mode must be diffusion"),
    "a revision in mode autoregressive": ({**REVISION, "mode": "autoregressive"}, "not_applicable", "mode must be"),
    "a gap in token ids": ({"input_ids": [1], "suffix": "b"}, "not_applicable", "input_ids"),
    "a gap with stop words": ({**GAP, "stop_words": ["x"]}, "not_applicable", "stop_words does not apply"),
    "size and sizes": ({**GAP, "infill_tokens": 1, "infill_lengths": [1]}, "not_applicable", "infill_tokens does not"),
    "a size without a gap": ({"text_input": "a", "infill_tokens": 1}, "not_applicable", "infill_tokens needs"),
    "segments without a gap": ({"segments": '["a"]'}, "invalid_value", "segments must hold 1 to 16 gaps"),
    "too many gaps": ({"segments": json.dumps([{}] * 17)}, "invalid_value", "segments must hold 1 to 16 gaps"),
    "a segment of another kind": ({"segments": "[3]"}, "invalid_value", "segments must hold strings and objects"),
    "segments and suffix": ({"segments": "[{}]", "suffix": "a"}, "not_applicable", "suffix does not go together"),
}
bad = pytest.mark.parametrize(("request_", "error_type", "told"), REFUSED.values(), ids=REFUSED)


@bad
def test_it_is_refused_over_http(server: Server, request_: dict[str, Any], error_type: str, told: str) -> None:
    assert refused(server, request_, error_type).startswith(told)


@bad
def test_it_is_refused_over_grpc(server: Server, request_: dict[str, Any], error_type: str, told: str) -> None:
    assert refused_over_grpc(server, request_, error_type).startswith(told)
