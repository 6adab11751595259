"""A server of a checkpoint whose chat template can loop for ever, and whose tokenizer has a token too many."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle import digests
from trimode.bundle.manifest import CHAT_TEMPLATE, TOKENIZER, Manifest

from tests.server.server import Server, template_workers, wait_until
from tests.server.wire import generate

TEMPLATE = """{% set asked = messages[0].content %}
{%- if asked == 'loop' %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}
{%- if asked == 'large' %}{{ asked[0] * 2000000000 }}{% endif %}{{ asked }}"""
EXTRA = {"content": "<extra>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


@pytest.fixture(scope="module")
def hostile(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    copy = folder / "bundle"
    shutil.copytree(bundle, copy)
    (copy / CHAT_TEMPLATE).write_text(TEMPLATE)
    tokenizer = json.loads((copy / TOKENIZER).read_text())
    tokenizer["added_tokens"].append({"id": Manifest.load(bundle).vocab_size, "special": False, **EXTRA})
    (copy / TOKENIZER).write_text(json.dumps(tokenizer))
    files = {path.name: path.stat().st_size for path in copy.iterdir() if path.name in Manifest.load(bundle).files}
    dataclasses.replace(Manifest.load(bundle), files=files).save(copy)
    digests.write(copy)
    with Server(copy, folder / "log") as made:
        yield made


def chat(content: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], "max_tokens": 4, "end_id": -1}


@pytest.mark.parametrize("content", ["loop", "large"])
def test_a_template_that_takes_too_much_fails_while_others_go_on(hostile: Server, content: str) -> None:
    plain = {"text_input": "What is 2 + 2?", "max_tokens": 60, "end_id": -1}
    expected = generate(hostile.http_port, plain)
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(generate, hostile.http_port, plain) for _ in range(3)]
        status, body = generate(hostile.http_port, chat(content))
        others += [pool.submit(generate, hostile.http_port, plain) for _ in range(3)]
        assert [other.result() for other in others] == [expected] * 6
    assert status == 400
    assert body["error"].startswith("invalid_value: messages could not be rendered by the chat template")
    assert "/" not in body["error"].replace("2 + 2", "")
    assert generate(hostile.http_port, chat("hello"))[0] == 200


def seconds_rendered(server: Server) -> float:
    """The processor time of the process that renders."""
    return sum(float(worker.cpu_times().user) for worker in template_workers(server))


def test_nobody_waits_for_another_callers_template(hostile: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        before = seconds_rendered(hostile)
        looping = pool.submit(generate, hostile.http_port, chat("loop"))
        wait_until(lambda: seconds_rendered(hostile) > before + 0.1, lambda: "no template is rendered")
        plain = generate(hostile.http_port, {"text_input": "What is 2 + 2?", "max_tokens": 4})
        assert plain[0] == 200
        assert not looping.done()
        assert looping.result()[0] == 400


def test_a_token_that_the_model_does_not_have_is_the_callers_error(hostile: Server) -> None:
    asked: list[tuple[dict[str, object], str]] = [
        ({"text_input": "a <extra> b", "max_tokens": 4}, "text_input"),
        (chat("a <extra> b") | {"max_tokens": 4}, "messages"),
        ({"segments": ["a <extra> b", {"infill_tokens": 2}, "c"]}, "segments"),
        ({"text_input": "a", "suffix": " <extra> b", "infill_tokens": 2}, "suffix"),
        ({"text_input": "<extra>", "suffix": " b", "infill_tokens": 2}, "text_input"),
        ({"text": "a <extra> b"}, "text"),
    ]
    for request, field in asked:
        status, body = generate(hostile.http_port, request)
        assert status == 400, body
        assert body["error"].startswith(f"invalid_value: {field} must have no token beyond the model's vocabulary of")
        assert "<extra>" in body["error"]
    status, body = generate(hostile.http_port, {"input_ids": [5, 2048], "max_tokens": 4})
    assert (status, body["error"]) == (
        400,
        "invalid_value: input_ids must be below the vocabulary size 2048, got 2048",
    )
    assert generate(hostile.http_port, {"text_input": "a b", "max_tokens": 4})[0] == 200
