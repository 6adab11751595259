"""The alerts: promtool's lint and unit tests, and that nobody is left without a page of what to do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml

from tests.deploy.chart import FOLDER

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


def test_every_alert_has_a_unit_test_of_both_kinds() -> None:
    tests = yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
    asked = [one for test in tests for one in test["alert_rule_test"]]
    fires = {one["alertname"] for one in asked if one.get("exp_alerts")}
    silent = {one["alertname"] for one in asked if not one.get("exp_alerts")}
    assert fires == silent == {rule["alert"] for rule in rules()}


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]
