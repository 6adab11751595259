"""Bundles that spoil answers or stop the backend: only what is asked of them fails."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from trimode.bundle import digests

from tests.faults.callers import CHAT, SHORT, WAYS, Answer, Crowd, over_http, seconds_to_serve
from tests.faults.conftest import NANO, Record
from tests.server.server import Server, wait_until
from tests.support.spoiled import spoil

SPOILED_TOKEN = 700
TOO_LARGE_ID = 5000
TEMPLATES = {
    "endless": "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}"
    "{% set d = a * b * c %}{% endfor %}{% endfor %}{% endfor %}",
    "large": "{{ 'x' * 100000000 }}",
    "failing": "{{ 1 / 0 }}",
}


def edited(bundle: Path, out: Path, name: str, text: str) -> Path:
    """Return a copy of the bundle with another file `name`, which its manifest knows."""
    made = Path(shutil.copytree(bundle, out))
    (made / name).write_text(text, encoding="utf-8")
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["files"][name] = len(text.encode())
    (made / "manifest.json").write_text(json.dumps(manifest))
    digests.write(made)
    return made


def test_values_that_are_not_finite_spoil_no_other_answer(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], right: dict[str, str]
) -> None:
    server = starter(spoil(bundle, NANO, tmp_path / "spoiled", SPOILED_TOKEN))
    spoiled = {**SHORT, "input_ids": [5, SPOILED_TOKEN, 6]}
    del spoiled["text_input"]
    with Crowd(server, SHORT, right["short"], each=1) as crowd:
        for way in [*WAYS.values()] * 5:
            answer = way(server, spoiled)
            assert (answer.text, answer.error_type) == ("", "engine_failed")
        already = crowd.answered
        wait_until(lambda: crowd.answered > already, lambda: "nothing is answered")
    assert not crowd.errors
    assert server.stop() == 0


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_hostile_template_ends_its_own_requests_and_the_server_serves_on(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], right: dict[str, str], record: Record, kind: str
) -> None:
    hostile = edited(bundle, tmp_path / "hostile", "chat_template.jinja", TEMPLATES[kind])
    server = starter(hostile, "--canary-timeout", "2", ready=False)
    wait_until(lambda: server.ready() or server.process.poll() is not None, lambda: server.log.read_text(), 60)
    assert server.process.poll() is None, server.log.read_text()
    answers: list[Answer] = []
    since = time.monotonic()
    asking = threading.Thread(target=lambda: answers.append(over_http(server, CHAT)))
    asking.start()
    asking.join(120)
    assert answers, "an answer was lost"
    assert (answers[0].text, answers[0].error_type) == ("", "invalid_value"), answers[0].error
    assert "Traceback" not in answers[0].error and str(tmp_path) not in answers[0].error
    for way in WAYS:
        seconds = seconds_to_serve(server, way, right["short"], since)
        if kind != "failing":
            record(f"a chat template that is {kind}", way, seconds, answer=answers[0].error_type)
    server.stop()


def test_a_tokenizer_with_more_ids_than_the_model_spoils_no_other_answer(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], right: dict[str, str]
) -> None:
    """A text with such an id is refused by name; others are answered."""
    tokenizer = json.loads((bundle / "tokenizer.json").read_text())
    more = {"content": "<|big|>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer["added_tokens"].append({"id": TOO_LARGE_ID, "special": True, **more})
    made = edited(bundle, tmp_path / "hostile", "tokenizer.json", json.dumps(tokenizer))
    server = starter(made)
    for way in WAYS.values():
        answer = way(server, {**SHORT, "text_input": "Once <|big|>"})
        assert (answer.text, answer.error_type) == ("", "invalid_value"), answer.error
        assert '"<|big|>", token ' in answer.error  # and its number, which the library may choose
        assert way(server, SHORT).text == right["short"]
    assert server.stop() == 0


def test_a_tokenizer_that_makes_texts_grow_without_end_ends_one_request(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], right: dict[str, str]
) -> None:
    """A text with the letter q doubles forty times: it is refused within its limits, and others are answered."""
    tokenizer = json.loads((bundle / "tokenizer.json").read_text())
    doubles = {"type": "Replace", "pattern": {"Regex": "q"}, "content": "qq"}
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [doubles] * 40}
    server = starter(edited(bundle, tmp_path / "hostile", "tokenizer.json", json.dumps(tokenizer)))
    for way in WAYS.values():
        answer = way(server, {**SHORT, "text_input": "Once q"})
        assert (answer.text, answer.error_type) == ("", "invalid_value"), answer.error
        assert "within the time and the memory" in answer.error
        assert way(server, SHORT).text == right["short"]
    assert server.stop() == 0
