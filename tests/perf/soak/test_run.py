"""A soak of a few seconds: the callers ask a real server, over every way, and the record says what came."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trimode_client.local_server import Addresses, serving
from trimode_perf.common import NANO
from trimode_perf.common.progress import MeasureError
from trimode_perf.soak import load, run
from trimode_perf.soak.callers import WAYS, Caller, Heard, ways_of
from trimode_perf.soak.requests import CHAT, TEXT, Request

from tests.server.server import wait_until

pytestmark = pytest.mark.subprocess
MESSAGES = json.dumps([{"role": "user", "content": "What is 23 + 2221?"}])
REQUESTS = [
    Request("a chat", {"messages": MESSAGES, "mode": "auto", "max_tokens": 20}, CHAT),
    Request("a text", {"text_input": "Once", "mode": "diffusion", "max_tokens": 8}, TEXT),
    Request("a gap", {"text_input": "Once", "suffix": " a time", "infill_tokens": 3}),
]


@pytest.fixture(scope="module")
def at(bundle_of: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    with serving(bundle_of(NANO), tmp_path_factory.mktemp("soak") / "log") as addresses:
        yield addresses


def test_an_answer_is_the_same_over_every_way(at: Addresses) -> None:
    right = load.ask_alone(at, "nano", REQUESTS, lambda: None)
    caller = Caller(at, "nano")
    for number, request in enumerate(REQUESTS):
        for way in ways_of(request):
            for slow in (False, True):
                assert "".join(caller.ask(WAYS[way], request, slow=slow)) == right[number].text
                assert caller.heard == right[number], way
    caller.close()


def test_a_refusal_is_heard_over_every_way(at: Addresses) -> None:
    caller = Caller(at, "nano")
    for way in WAYS:
        assert "".join(caller.ask(WAYS[way], Request("", {**REQUESTS[1].fields, "max_tokens": 0}, TEXT))) == ""
        assert caller.heard == Heard(error="invalid_value"), way
    caller.close()
    with pytest.raises(MeasureError, match="invalid_value"):
        load.ask_alone(at, "nano", [Request("", {"text_input": "a", "max_tokens": 0})], lambda: None)


def test_a_wrong_answer_is_noted(at: Addresses) -> None:
    right = load.ask_alone(at, "nano", REQUESTS[:1], lambda: None)
    with load.Load(at, "nano", REQUESTS[:1], {0: Heard(right[0].text + "!", "stop")}) as asking:
        wait_until(lambda: bool(asking.tally.wrong), lambda: "no wrong answer was noted", 300)
    assert "in place of" in asking.tally.wrong[0]
    assert not asking.tally.lost


def test_a_soak_writes_its_record_and_its_plot(
    bundle_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "catalogue", lambda prompts, manifest: REQUESTS)
    monkeypatch.setattr(run, "WORK", tmp_path)
    run.main(["--minutes", "0.2", "--bundle", str(bundle_of(NANO)), "--out", str(tmp_path)])
    assert "pass  0 answers are wrong, none may be\npass  0 answers are lost" in capsys.readouterr().out
    record = json.loads((tmp_path / "results/soak.json").read_text())
    assert sum(record["answered"].values()) > 3
    assert record["after"]["requests"] == 0
    assert (tmp_path / "plots/soak.png").is_file()
