"""deploy/ names nothing that does not exist: options, metrics, paths, images, modules, variables, files.

What helm makes of the chart is in tests/deploy, which needs its own environment.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path

import pytest
import trimode
import yaml
from jsonschema import Draft7Validator
from trimode.config import ENVIRONMENT, ServerConfig
from trimode.metrics import METRICS
from trimode.server.guard import LIVE, READY
from trimode.server.launch.options import parser as serve_parser
from trimode.server.metrics_front.source import CACHE_INFO, INFO, REFUSALS
from trimode.server.metrics_front.source import PATH as METRICS_PATH
from trimode.server.openai.front import ENDPOINTS
from trimode_convert.cli import parser as convert_parser
from trimode_convert.tensorrt.footprint import GPUS

from scripts.render_deploy.__main__ import COMMAND, DEPLOY, main, rendered
from scripts.render_deploy.recipes import PRODUCTS
from tests.support.layout import ROOT

FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
CHART = DEPLOY / "helm" / "trimode"
DEMO = {"--bundle", "--max-tokens"}  # options of trimode_client.cli.demo, which has them in its main
OURS = "trimode"  # what `make image` builds
KUBERNETES = ("container_", "kube_")  # metrics of the kubelet and of kube-state-metrics
TRITONS = {"nv_cpu_memory_total_bytes"}  # beside those in the reference; test_dashboards.py asks for each
METRIC = re.compile(r"\b(?:trimode|nv)_\w+|\bvllm:\w+")
OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")
REFERENCE = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def options() -> set[str]:
    parsers = (serve_parser(), convert_parser())
    return DEMO | {option for made in parsers for action in made._actions for option in action.option_strings}


def metrics() -> set[str]:
    """The series that a server gives."""
    found = {REFUSALS[0], INFO[0], CACHE_INFO[0], *TRITONS}
    for metric in METRICS:
        found |= {metric.name, *(metric.name + ending for ending in OF_A_HISTOGRAM)}
    return found | set(re.findall(r"^\| `((?:nv_|vllm:)\w+)`", REFERENCE, re.MULTILINE))


def served(path: str) -> bool:
    """Whether the server answers at a path, or below it."""
    patterns = [LIVE, READY, re.compile(re.escape(METRICS_PATH)), *(endpoint.path for endpoint in ENDPOINTS)]
    below = [pattern.pattern for pattern in patterns if pattern.pattern.startswith(f"{path}/")]
    return bool(below) or any(pattern.fullmatch(path) for pattern in patterns)


def wrong_in(text: str) -> list[str]:
    """What a file names that does not exist."""
    code = re.sub(r"\{\{/\*.*?\*/\}\}", "", text, flags=re.DOTALL)
    found = [name for name in re.findall(r"(?<![\w-])--[a-z][\w-]+", code) if name not in options()]
    modules = set(re.findall(r"\btrimode(?:_convert|_client|_perf|_train)?(?:\.[a-z_]+)+(?=\]|\b)", code))
    found += [name for name in re.findall(r"-m, ([\w.]+)", code) if importlib.util.find_spec(name) is None]
    named = set(METRIC.findall(code)) - {word for module in modules for word in module.split(".")}
    found += sorted(named - metrics() - {"trimode_convert", "trimode_client"})
    others = r"name: (HOME|TMPDIR), value: /tmp|path: /var/lib/grafana/\w+"  # folders, not paths of the server
    asked = re.findall(r"\b(?:path|value): \"?(/[^\s,}\"]+)", re.sub(others, "", code))
    found += [path for path in asked if not served(path)]
    found += [name for name in re.findall(r"\bTRIMODE_[A-Z_]+\b", code) if name not in ENVIRONMENT]
    files = re.findall(r"\b((?:docs|scripts|build|tests|checkpoints)/[\w./-]*\w)", code)
    made = "build/out/"  # what commands write
    found += [name for name in files if not (ROOT / name).exists() and not name.startswith(made)]
    return found


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_names_nothing_that_does_not_exist(path: Path) -> None:
    assert wrong_in(path.read_text(encoding="utf-8")) == []


def test_the_walk_finds_what_does_not_exist() -> None:
    wrong = (
        "--no-such-option", "trimode_no_such_total", "vllm:no_such", "nv_no_such", "/v2/health/no", "/v3",
        "TRIMODE_NO_SUCH", "docs/no-such.md",
    )  # fmt: skip
    text = "{} {} {} {} path: {}\nvalue: {}\n{} {} [a, -m, trimode.no_such]".format(*wrong)
    assert sorted(wrong_in(text)) == sorted([*wrong, "trimode.no_such"])
    right = "--exit-timeout=1 trimode_requests_total vllm:num_requests_waiting\npath: /metrics\nvalue: /v1\n"
    right += "command: [python3, -m, trimode_convert]"
    assert wrong_in(right) == []


def test_the_rendered_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_a_file_that_is_out_of_date_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path)]) == 0
    assert main(["--out", str(tmp_path), "--check"]) == 0
    (stale := tmp_path / next(iter(rendered()))).write_text("x", encoding="utf-8")
    assert main(["--out", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err == f"{stale} is out of date; run: {COMMAND}\n"


def test_each_gpu_of_each_recipe_has_its_values() -> None:
    """And each such recipe has a file for PyTorch; a model that ships, and is not fetched, is no cluster's."""
    read = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / "build").glob("*.yaml")}
    gpus = {
        model: [*recipe["tensorrt"], "torch"] for model, recipe in read.items() if {"tensorrt", "fetch"} <= {*recipe}
    }
    recipes = {f"{model}-{gpu}" for model, names in gpus.items() for gpu in names}
    assert {path.stem for path in (CHART / "values").glob("*.yaml")} == recipes | {"nano-cpu"}
    assert set(PRODUCTS) == set(GPUS)


def test_every_value_has_its_place_in_the_schema() -> None:
    """A value that the schema does not know would be refused, and one that is not shown would not be found."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    shown = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(schema["properties"]) == {*shown, "global"}
    for name, value in shown.items():
        known = schema["properties"][name].get("properties", {})
        if isinstance(value, dict) and value and known:
            assert set(value) == set(known), name


def test_the_schema_is_one_and_refuses_what_it_should() -> None:
    """helm takes no chart whose schema is none; here it is found without helm."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    Draft7Validator.check_schema(schema)
    valid = Draft7Validator(schema).is_valid
    for path in (CHART / "values.yaml", *(CHART / "values").glob("*.yaml")):
        assert valid(yaml.safe_load(path.read_text(encoding="utf-8"))), path.name
    own = {name: getattr(ServerConfig(), name) for name in schema["properties"]["model"]["properties"]}
    assert valid({"model": own}), "what a server has by itself"
    assert valid({"model": {"allowed_media_domains": "example.org,example.com:8443"}})
    assert not valid({"model": {"allowed_media_domains": 3}})
    assert not valid({"model": {"max_slots": 0}})


def test_the_chart_is_of_this_version_and_of_this_image() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == trimode.__version__
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert values["image"]["repository"] == OURS
    assert re.search(rf"^IMAGE \?= {OURS}$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    dockerfile = (ROOT / "build" / "Dockerfile").read_text(encoding="utf-8")
    helpers = (CHART / "templates" / "_helpers.tpl").read_text(encoding="utf-8")
    assert re.search(r"^USER (\d+)$", dockerfile, re.MULTILINE)[1] == re.search(r"runAsUser: (\d+)", helpers)[1]  # type: ignore[index]
    assert "EXPOSE 8000 8001 8002" in dockerfile


def test_every_alert_has_a_page_of_what_to_do() -> None:
    groups = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    pages = {rule["annotations"]["runbook"] for rule in rules}
    assert {name_of(path) for path in (ROOT / "docs" / "runbooks").glob("*.md")} == pages
    for rule in rules:
        text = (ROOT / rule["annotations"]["runbook"]).read_text(encoding="utf-8")
        assert f"`{rule['alert']}`" in text, rule["alert"]
        assert {"## What it means", "## What to look at", "## What to do"} <= set(text.splitlines())


def test_the_tools_are_fetched_by_a_script_that_says_what_it_cannot_have() -> None:
    script = ROOT / "scripts" / "fetch-deploy-tools"
    assert subprocess.run(["sh", "-n", script]).returncode == 0
    text = script.read_text(encoding="utf-8")
    assert text.count("_SHA256=") == text.count("_WHEEL=") == 3
