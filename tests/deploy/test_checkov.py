"""The chart by checkov's checks of Kubernetes, but for those that cannot hold here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.deploy.chart import VALUES, Chart

LEFT_OUT = {
    "CKV_K8S_11": "a limit of processor time slows an answer down; requests share it out",
    "CKV_K8S_15": "a tag that is not `latest` does not change: IfNotPresent is enough",
    "CKV_K8S_40": "the image's user is 1000",
    "CKV_K8S_43": "there is no digest before somebody pushed the image: image.digest takes it",
    "CKV_K8S_8": "a Job is not probed",
    "CKV_K8S_9": "a Job is not probed",
}
"""Checks that are not made, each with the reason."""


def test_checkov_finds_nothing(chart: Chart, tmp_path: Path) -> None:
    for path in (values for values in VALUES if values.stem in ("nano-cpu", "8b-H200")):
        text = yaml.safe_dump_all(chart.render({"keys": {"secret": "keys"}}, path))
        (tmp_path / f"{path.stem}.yaml").write_text(text, encoding="utf-8")
    command = [
        str(Path(sys.executable).with_name("checkov")),
        "--directory",
        str(tmp_path),
        "--framework",
        "kubernetes",
    ]
    command += ["--output", "json", "--quiet", "--compact", "--skip-check", ",".join(LEFT_OUT)]
    environment = {**os.environ, "BC_SKIP_MAPPING": "TRUE", "CKV_VALIDATE_SECRETS": "false"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
    found = json.loads(done.stdout)
    failed = [f"{one['check_id']} {one['resource']}: {one['check_name']}" for one in found["results"]["failed_checks"]]
    assert failed == []
    assert found["summary"]["passed"] > 100, done.stderr
