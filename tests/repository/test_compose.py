"""deploy/compose: what it mounts exists, what it starts takes its options, who asks whom, and loopback alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from trimode.server.launch.options import parser

from scripts.image.dockerfile import read
from tests.support.layout import ROOT

FOLDER = ROOT / "deploy" / "compose"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = ("cpu", "gpu")
IMAGE = read(ROOT / "build" / "Dockerfile").final
PAGE = (ROOT / "docs" / "guides" / "compose.md").read_text(encoding="utf-8")


def filled(text: str) -> str:
    """With the default of each variable."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def mounts(service: str) -> dict[str, str]:
    """What is mounted where, by the path within the container."""
    parts = [filled(one).split(":") for one in SERVICES[service].get("volumes", [])]
    return {target: source for source, target, *_ in parts}


def yaml_of(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_published_on_loopback_alone(name: str) -> None:
    ports = [filled(port).split(":") for port in SERVICES[name]["ports"]]
    assert ports and all(len(port) == 3 and port[0] == "127.0.0.1" and port[1] == port[2] for port in ports)
    assert all(f"127.0.0.1:{port[1]}" in PAGE for port in ports)


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists_and_only_volumes_are_written(name: str) -> None:
    for one in SERVICES[name]["volumes"]:
        source, *rest = filled(one).split(":")
        if source in COMPOSE["volumes"]:
            continue
        assert rest[-1] == "ro", one
        place = (FOLDER / source).resolve()
        assert place.exists() or place.is_relative_to(ROOT / "build" / "out"), one


def test_an_image_of_others_has_a_version() -> None:
    assert all(re.search(r":v?\d+\.\d+\.\d+$", SERVICES[name]["image"]) for name in SERVICES if name not in SERVERS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {f"IMAGE ?= {filled(SERVICES[name]['image'])}" for name in SERVERS} <= set(makefile.splitlines())


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_takes_its_options_and_has_time_to_end(name: str) -> None:
    service = SERVICES[name]
    options = parser().parse_args(service["command"])
    assert int(service["stop_grace_period"].removesuffix("s")) > options.exit_timeout + 10
    assert {port.rpartition(":")[2] for port in service["ports"]} == set(IMAGE.of("EXPOSE")[0].split())
    assert "TRIMODE_BUNDLE=/bundle" in IMAGE.of("ENV") and "/bundle" in mounts(name)
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["tmpfs"][0].startswith(f"{service['environment']['TMPDIR']}:")


def test_one_of_the_servers_has_a_gpu() -> None:
    (device,) = SERVICES["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert "deploy" not in SERVICES["cpu"]
    assert [SERVICES[name]["profiles"] for name in SERVERS] == [["cpu"], ["gpu"]]


def test_prometheus_asks_the_server_under_the_name_that_alerts_and_dashboards_have() -> None:
    config = yaml_of("prometheus.yml")
    (job,) = config["scrape_configs"]
    ((target,),) = (one["targets"] for one in job["static_configs"])
    host, port = target.split(":")
    for name in SERVERS:
        assert SERVICES[name]["networks"]["default"]["aliases"] == [host]
        assert any(one.endswith(f":{port}") for one in SERVICES[name]["ports"])
    assert int(port) == parser().get_default("metrics_port")
    found = mounts("prometheus")
    assert [Path(found[path]).name for path in config["rule_files"]] == ["alerts.yaml"]
    alerts = (FOLDER / found["/etc/prometheus/alerts.yaml"]).read_text(encoding="utf-8")
    assert set(re.findall(r'job="(\w+)"', alerts)) == {job["job_name"]}


def test_grafana_asks_prometheus_and_finds_the_dashboards() -> None:
    (source,) = yaml_of("grafana/datasources.yaml")["datasources"]
    assert source["url"] == f"http://prometheus:{SERVICES['prometheus']['ports'][0].rpartition(':')[2]}"
    assert source["isDefault"]
    (provider,) = yaml_of("grafana/dashboards.yaml")["providers"]
    folder = FOLDER / mounts("grafana")[provider["options"]["path"]]
    assert len(list(folder.glob("*.json"))) == 4
    provisioned = {path for path in mounts("grafana") if path.startswith("/etc/grafana/provisioning/")}
    assert {Path(path).parent.name for path in provisioned} == {"datasources", "dashboards"}


def test_every_variable_is_on_the_page() -> None:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    assert {f"`{name}`" for name in re.findall(r"\$\{(\w+):-", text)} <= set(re.findall(r"`\w+`", PAGE))
