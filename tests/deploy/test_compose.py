"""deploy/compose by the compose specification's own schema, and its Prometheus' configuration by promtool."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.deploy.conftest import Tools, tool
from tests.support.layout import ROOT

FOLDER = ROOT / "deploy" / "compose"


@pytest.fixture(scope="session")
def schema(tools: Tools) -> Draft202012Validator:
    return Draft202012Validator(json.loads(tool(tools, "compose-spec.json").read_text(encoding="utf-8")))


def compose() -> Any:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))


def test_the_file_is_as_the_specification_says(schema: Draft202012Validator) -> None:
    assert [error.message for error in schema.iter_errors(compose())] == []


def test_a_key_that_the_specification_does_not_have_is_found(schema: Draft202012Validator) -> None:
    wrong = compose()
    wrong["services"]["cpu"]["port"] = 1
    assert any("'port'" in error.message for error in schema.iter_errors(wrong))


def test_promtool_takes_the_configuration(promtool: Path, tmp_path: Path) -> None:
    alerts = ROOT / "deploy" / "helm" / "trimode" / "files" / "alerts.yaml"
    text = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/alerts.yaml", str(alerts)), encoding="utf-8")
    command = [str(promtool), "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "1 rule files found" in done.stdout, done.stdout + done.stderr
