"""Free drafts of a real server: over HTTP, by the Python client and by OpenAI's, with their counters and metrics."""

from __future__ import annotations

import json

import pytest

from tests.server.refusals import refused
from tests.server.sdk import Protocol, client, protocols
from tests.server.server import Server, wait_until
from tests.server.wire import generate, send

QUESTION = "Turn this into JSON: Anna Rossi is 24 years old, lives in Lima and works as a sailor."
MESSAGES = [{"role": "user", "content": QUESTION}]
OLD = '{\n  "name": "Anna Rossi",\n  "age": 23,\n  "city": "Lima",\n  "job": "sailor"\n}'
NEW = OLD.replace("23", "24")
MODES = ("auto", "autoregressive", "self_speculation")


@pytest.mark.parametrize("mode", MODES)
def test_a_prediction_changes_the_passes_and_not_the_text(server: Server, mode: str) -> None:
    asked = {"messages": MESSAGES, "mode": mode, "return_perf_metrics": True}
    _, found = generate(server.http_port, {**asked, "prediction": OLD, "prompt_lookup": True})
    assert found["text_output"] == NEW
    if mode != "auto":  # which may have better drafts
        assert found["accepted_prediction_tokens"] > 20 and found["forwards"] < 12


@protocols
def test_the_client_has_keywords_for_both(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking:
        answer = asking.generate(QUESTION, mode="autoregressive", prediction=OLD, prompt_lookup=True)
    assert answer.text == NEW


def test_openais_prediction_is_counted_in_the_usage(server: Server) -> None:
    asked = {"messages": MESSAGES, "mode": "autoregressive", "prediction": {"type": "content", "content": OLD}}
    status, body = send(server.http_port, "POST", "/v1/chat/completions", json.dumps(asked).encode())
    answer = json.loads(body)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, NEW)
    details = answer["usage"]["completion_tokens_details"]
    assert details["accepted_prediction_tokens"] > 20 and details["rejected_prediction_tokens"] > 0


def test_what_has_no_drafts_refuses_them_by_name(server: Server) -> None:
    for asked in (
        {"messages": MESSAGES, "mode": "diffusion", "prediction": OLD},
        {"text_input": "a", "suffix": "b", "prediction": OLD},
        {"text": "a b", "prompt_lookup": True},
    ):
        name = "prediction" if "prediction" in asked else "prompt_lookup"
        assert refused(server, asked, "not_applicable").startswith(f"{name} ")


def test_a_prediction_beyond_the_capacity_is_refused(server: Server) -> None:
    asked = {"messages": MESSAGES, "prediction": "a b " * 5000}
    assert refused(server, asked, "invalid_value").startswith("prediction must fit the capacity of")


def test_the_metrics_count_by_source(server: Server) -> None:
    generate(server.http_port, {"messages": MESSAGES, "mode": "autoregressive", "prediction": OLD})
    labels = {"mode": "autoregressive", "source": "prediction"}
    wait_until(lambda: server.metric("trimode_accepted_free_draft_tokens_total", **labels) > 20, lambda: "no metric")
