"""The dashboards: every expression asked of a real Prometheus after a short load on a server, and none is empty."""

from __future__ import annotations

import json
import math
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.served import DeployedServer
from tests.deploy.watching import Watching
from tests.support.layout import ROOT

BOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
ALERTS = ROOT / "deploy" / "helm" / "trimode" / "files" / "alerts.yaml"
WINDOW = "10m"  # in place of Grafana's: the whole load
CHOSEN = {"$job": "trimode", "$instance": ".*", "$__rate_interval": WINDOW}
OF_THE_MACHINE = {"TrimodeMachineMemoryFull", "TrimodeDown"}
"""Alerts that a busy machine may raise: its memory is full, or a scrape takes longer than its second."""
METRIC = re.compile(r"\b(?:trimode|nv)_\w+\b|\bup\b(?=\{)")
QUESTION: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Write a story about a sailor."}],
    "max_tokens": 48,
    "min_tokens": 48,
}
SAID = "The list is alpha, beta, gamma, delta. The list is alpha, beta, gamma, delta. The list is"
LOAD: list[dict[str, Any]] = [
    *({**QUESTION, "mode": mode} for mode in ("auto", "autoregressive", "diffusion", "self_speculation")),
    {"text_input": SAID, "max_tokens": 24, "mode": "self_speculation", "prompt_lookup": True},
    {"text_input": SAID, "max_tokens": 24, "mode": "self_speculation", "prediction": " alpha, beta, gamma, delta."},
]
REFUSED = {"text_input": "x", "max_tokens": -1}
ROUNDS = 2  # with scrapes between them: a rate needs two


def ask(server: DeployedServer, body: dict[str, Any]) -> int:
    url = f"http://127.0.0.1:{server.http_port}/v2/models/nemotron_diffusion/generate"
    try:
        with urllib.request.urlopen(url, data=json.dumps(body).encode(), timeout=120) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        exc.close()
        return exc.code


@pytest.fixture(scope="module")
def watching(bundle: Path, prometheus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watching]:
    """Prometheus beside a server that was asked for a moment."""
    folder = tmp_path_factory.mktemp("watching")
    with DeployedServer(bundle, folder / "server") as server:
        made = Watching(prometheus, server.metrics_port, ALERTS, folder)
        try:
            made.wait_scrapes(2)
            for _ in range(ROUNDS):
                assert [ask(server, body) for body in LOAD] == [200] * len(LOAD)
                assert ask(server, REFUSED) == 400
                made.wait_scrapes(3)
            yield made
        finally:
            made.stop()


def expressions() -> Iterator[tuple[str, str]]:
    for board in BOARDS:
        for panel in json.loads(board.read_text(encoding="utf-8"))["panels"]:
            for number, target in enumerate(panel["targets"]):
                yield f"{board.stem}-{panel['title']}-{number}", target["expr"]


EXPRESSIONS = dict(expressions())


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_a_panel_shows_something(watching: Watching, expression: str) -> None:
    for name, value in CHOSEN.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    found = watching.values(expression)
    assert [value for value in found if not math.isnan(value)], f"{expression} gives {found}"


def test_prometheus_evaluates_every_alert(watching: Watching) -> None:
    rules = [rule for group in watching.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: (rule["health"], rule.get("lastError")) for rule in rules} == {
        rule["name"]: ("ok", None) for rule in rules
    }
    assert {rule["state"] for rule in rules if rule["name"] not in OF_THE_MACHINE} == {"inactive"}
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    assert {rule["alert"] for group in groups for rule in group["rules"]} == {rule["name"] for rule in rules}


def test_the_metrics_that_alerts_ask_for_are_there(watching: Watching) -> None:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    named = {name for group in groups for rule in group["rules"] for name in METRIC.findall(rule["expr"])}
    assert len(named) > 6
    assert {name for name in named if not watching.values(f'count({name}{{job="trimode"}})')} == set()


def test_a_dashboard_is_what_grafana_imports() -> None:
    assert len(BOARDS) == 4
    for board in BOARDS:
        found = json.loads(board.read_text(encoding="utf-8"))
        assert found["uid"] == f"trimode-{board.stem}"
        assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
        places = [panel["gridPos"] for panel in found["panels"]]
        assert len({(place["x"], place["y"]) for place in places}) == len(places)
        assert all(place["x"] + place["w"] <= 24 for place in places)
        variables = {f"${{{one['name']}}}" for one in found["templating"]["list"]}
        assert {panel["datasource"]["uid"] for panel in found["panels"]} <= variables
