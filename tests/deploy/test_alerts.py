"""The alerts: promtool's lint and unit tests, and that nobody is left without a page of what to do."""

from __future__ import annotations

import json
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.chart import FOLDER
from tests.deploy.watching import SECONDS, Alerting, Watching
from tests.server.server import free_ports

ALERTS = FOLDER / "files" / "alerts.yaml"
TESTS = Path(__file__).with_name("alerts_test.yaml")


def promtool_says(promtool: Path, *words: str | Path) -> str:
    done = subprocess.run([promtool, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules(promtool: Path) -> None:
    said = promtool_says(promtool, "check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert f"{len(rules())} rules found" in said


def test_each_alert_fires_on_what_it_is_for_and_on_nothing_else(promtool: Path, tmp_path: Path) -> None:
    for path in (ALERTS, TESTS):
        shutil.copy(path, tmp_path)
    assert "SUCCESS" in promtool_says(promtool, "test", "rules", tmp_path / TESTS.name)


@contextmanager
def webhook() -> Iterator[tuple[int, queue.Queue[dict[str, Any]]]]:
    """The port of a webhook, and what it was sent."""
    sent: queue.Queue[dict[str, Any]] = queue.Queue()

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, sent
        finally:
            server.shutdown()
            thread.join()


def test_an_alert_reaches_a_webhook(prometheus: Path, alertmanager: Path, tmp_path: Path) -> None:
    """A server that is not there, at once: the rules without their patience."""
    text = re.sub(r"^ +for: .*\n", "", ALERTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (tmp_path / "alerts.yaml").write_text(text, encoding="utf-8")
    (nobody,) = free_ports(1)
    with webhook() as (port, sent), ExitStack() as ending:
        alerting = Alerting(alertmanager, port, tmp_path)
        ending.callback(alerting.stop)
        watching = Watching(prometheus, nobody, tmp_path / "alerts.yaml", tmp_path, alerting.port)
        ending.callback(watching.stop)
        try:
            first = sent.get(timeout=SECONDS)
        except queue.Empty:
            pytest.fail(watching.log.read_text() + alerting.log.read_text())
    assert {one["labels"]["alertname"] for one in first["alerts"]} == {"TrimodeDown"}
    assert {one["annotations"]["runbook"] for one in first["alerts"]} == {"docs/runbooks/down.md"}


def test_every_alert_has_a_unit_test_of_both_kinds() -> None:
    tests = yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
    asked = [one for test in tests for one in test["alert_rule_test"]]
    fires = {one["alertname"] for one in asked if one.get("exp_alerts")}
    silent = {one["alertname"] for one in asked if not one.get("exp_alerts")}
    assert fires == silent == {rule["alert"] for rule in rules()}


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]
