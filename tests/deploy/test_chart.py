"""The chart: every rendering is what Kubernetes takes, fits together, and lets no answer be cut off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from tests.deploy.chart import FOLDER, VALUES, Chart, RefusedError, containers_of, faults, kind, pod_of
from tests.deploy.values import VALUES as ANY_VALUES
from tests.deploy.values import contradicts

EXAMPLES = 20  # renderings at random: a quarter of a minute on a machine with nothing else to do
LOCKED = {"keys": {"secret": "keys"}}
MONITORED = {"monitoring": {"serviceMonitor": {"enabled": True}}}
LINKED = {"bundle": {"source": "link"}, "build": {"options": {"target": "torch"}}}
FETCH = {
    "name": "fetch",
    "image": "x:1",
    "resources": {"limits": {"memory": "1Gi"}},
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
    "volumeMounts": [{"name": "checkpoints", "mountPath": "/checkpoints"}],
}
"""A container that fills the volume `checkpoints`."""
MATRIX: dict[str, dict[str, Any]] = {
    "nothing": {},
    "keys": LOCKED,
    "tls": {"tls": {"secret": "tls"}, **MONITORED},
    "hpa": {"autoscaling": {"kind": "hpa"}},
    "keda": {"autoscaling": {"kind": "keda"}},
    "linked": LINKED,
    "linked, fetched": {**LINKED, "bundle": {"source": "link", "initContainers": [FETCH]}},
    "build": {"build": {"enabled": True}},
    "copy": {"bundle": {"source": "copy"}, "gpu": {"resource": "nvidia.com/gpu"}},
    "monitored": {**MONITORED, **LOCKED, "metrics": {"withoutKey": True}},
    "alerts": {"monitoring": {"prometheusRule": {"enabled": True}}},
    "open": {"networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}, "spread": False},
    "balancer": {"service": {"type": "LoadBalancer", "annotations": {"a": "b"}}},
}


@pytest.mark.parametrize("path", [None, *VALUES], ids=lambda path: path.stem if path else "default")
def test_helm_finds_nothing_to_mend(chart: Chart, path: Path | None) -> None:
    said = chart.run("lint", "--strict", FOLDER, *(("--values", path) if path else ()))
    assert "0 chart(s) failed" in said


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_a_rendering_is_what_kubernetes_takes(chart: Chart, values: dict[str, Any]) -> None:
    assert list(faults(chart.render(values))) == []


@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_the_values_that_ship_render(chart: Chart, path: Path) -> None:
    manifests = chart.render({}, path)
    assert list(faults(manifests)) == []
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    gpu = values.get("gpu", {}).get("resource")
    kinds = ["Deployment", *(["Job"] if values["build"].get("enabled") else [])]
    assert [one["kind"] for one in manifests if one["kind"] in ("Deployment", "Job")] == kinds
    for pod in (pod_of(kind(manifests, name)) for name in kinds):
        limits = [one["resources"]["limits"] for one in containers_of(pod) if not one["name"].endswith("-bundle")]
        assert all(limit.get(gpu) == 1 if gpu else set(limit) == {"memory"} for limit in limits)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(values=ANY_VALUES)
def test_any_values_render(chart: Chart, values: dict[str, Any]) -> None:
    if said := contradicts(values):
        with pytest.raises(RefusedError, match=said):
            chart.render(values)
        return
    manifests = chart.render(values)
    assert list(faults(manifests)) == []
    server = kind(manifests, "Deployment")
    answers_may_end(server)
    settings_are_passed_on(values, manifests)


def option(container: dict[str, Any], name: str) -> str:
    (found,) = (word.partition("=")[2] for word in container["args"] if word.startswith(f"--{name}="))
    return str(found)


def answers_may_end(deployment: dict[str, Any]) -> None:
    """What runs when a pod ends may finish before it is killed; a start may take as long as the server says."""
    pod = pod_of(deployment)
    server = pod["containers"][0]
    drained = server["lifecycle"]["preStop"]["sleep"]["seconds"] + int(option(server, "exit-timeout"))
    assert pod["terminationGracePeriodSeconds"] >= drained + 5
    startup = server["startupProbe"]
    assert startup["failureThreshold"] * startup["periodSeconds"] > int(option(server, "ready-timeout"))
    assert deployment["spec"]["progressDeadlineSeconds"] > int(option(server, "ready-timeout"))


def settings_are_passed_on(values: dict[str, Any], manifests: list[dict[str, Any]]) -> None:
    model = yaml.safe_load(kind(manifests, "ConfigMap")["data"]["model.yaml"])
    assert model == values.get("model", {})
    if values.get("build", {}).get("enabled"):
        (verify,) = pod_of(kind(manifests, "Job"))["containers"]
        given = {one["name"]: one["value"] for one in verify["env"] if one["name"].startswith("TRIMODE_")}
        assert given == {
            f"TRIMODE_{key.upper()}": str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in model.items()
        }
    server = pod_of(kind(manifests, "Deployment"))["containers"][0]
    for name, value in values.get("serve", {}).items():
        said = [word.partition("=")[2] for word in server["args"] if word.partition("=")[0] == f"--{name}"]
        if name == "served-model-name":
            assert said[1:] == value
        elif isinstance(value, bool):
            assert said == ([""] if value else [])
        else:
            assert said == [f"{value:g}" if isinstance(value, float) else str(value)]


def test_probes_ask_as_the_server_answers(chart: Chart) -> None:
    for values, scheme in (({}, "HTTP"), ({"tls": {"secret": "tls"}}, "HTTPS")):
        server = pod_of(kind(chart.render(values), "Deployment"))["containers"][0]
        probes = {name: server[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        ready, live = "/v2/health/ready", "/v2/health/live"
        assert {name: probe["path"] for name, probe in probes.items()} == {
            "startup": ready,
            "liveness": live,
            "readiness": ready,
        }
        assert {probe["scheme"] for probe in probes.values()} == {scheme}


def test_another_image_builds_into_another_folder(chart: Chart) -> None:
    """A plan runs under the TensorRT that compiled it: the former one stays for the pods that still run."""
    values = {"build": {"enabled": True, "options": {"gpu": "H200"}}}
    found = set()
    for image in ({"tag": "v1"}, {"tag": "v2"}, {"digest": "sha256:" + "ab" * 32}):
        manifests = chart.render({**values, "image": image})
        out = option(pod_of(kind(manifests, "Job"))["initContainers"][0], "out")
        (mount,) = (
            one
            for one in pod_of(kind(manifests, "Deployment"))["containers"][0]["volumeMounts"]
            if one["mountPath"] == "/bundle"
        )
        assert out == f"/bundles/{mount['subPath']}"
        found.add(mount["subPath"])
    assert found == {"nano-H200-v1", "nano-H200-v2", "nano-H200-abababababab"}


@pytest.mark.parametrize("fetched", [False, True])
def test_a_linked_bundle_is_read_beside_its_checkpoint(chart: Chart, fetched: bool) -> None:
    """The links lead to where the server has the checkpoint too; it is a claim, or what own containers fetch first."""
    pod = pod_of(kind(chart.render(MATRIX["linked, fetched" if fetched else "linked"]), "Deployment"))
    names = [one["name"] for one in pod["initContainers"]]
    assert names == ["fetch", "link-bundle"] if fetched else names == ["link-bundle"]
    linker, server = pod["initContainers"][-1], pod["containers"][0]
    mounts = [{one["mountPath"]: one for one in container["volumeMounts"]} for container in (linker, server)]
    assert mounts[0]["/checkpoints"] == mounts[1]["/checkpoints"]
    assert linker["args"][0] == "/checkpoints/nano"
    assert option(linker, "out") == f"/bundles/{mounts[1]['/bundle']['subPath']}"
    assert mounts[0]["/bundles"]["name"] == mounts[1]["/bundle"]["name"]
    (volume,) = (one for one in pod["volumes"] if one["name"] == "checkpoints")
    assert set(volume) == {"name", "emptyDir" if fetched else "persistentVolumeClaim"}


def test_metrics_behind_a_key_need_one(chart: Chart) -> None:
    with pytest.raises(RefusedError, match=r"metrics need a key where keys\.secret is set"):
        chart.render({**LOCKED, **MONITORED})
    given = {"serviceMonitor": {"enabled": True, "credentials": {"secret": "scraper", "key": "k"}}}
    monitor = kind(chart.render({**LOCKED, "monitoring": given}), "ServiceMonitor")
    assert monitor["spec"]["endpoints"][0]["authorization"]["credentials"] == {"name": "scraper", "key": "k"}


def test_the_alerts_are_those_of_the_file(chart: Chart) -> None:
    rule = kind(chart.render(MATRIX["alerts"]), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((FOLDER / "files" / "alerts.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replica": 2}, "replica"),
        ({"model": {"max_slot": 1}}, "max_slot"),
        ({"model": {"max_slots": 0}}, "max_slots"),
        ({"model": {"bundle": "/x"}}, "bundle"),
        ({"serve": {"host": "1.2.3.4"}}, "host"),
        ({"build": {"options": {"out": "/x"}}}, "out"),
        ({"build": {"options": {"target": "hf-ministral"}}}, "target"),
        ({"build": {"options": {"target": "torch"}}}, r"target torch needs bundle\.source link"),
        ({"bundle": {"source": "link"}}, r"source link needs build\.options\.target torch"),
        (
            {"bundle": {"source": "link"}, "build": {"enabled": True, "options": {"target": "torch"}}},
            "source link does",
        ),
        ({"bundle": {"source": "init"}}, "initContainers"),
        ({"bundle": {"name": "../x"}}, "name"),
        ({"gpu": {"resource": "amd.com/gpu"}}, "resource"),
        ({"strategy": {"maxSurge": 0, "maxUnavailable": 0}}, "strategy"),
        ({"autoscaling": {"minReplicas": 5}}, r"at most autoscaling\.maxReplicas, 4, got 5"),
    ],
)
def test_values_that_mean_nothing_are_refused(chart: Chart, values: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        chart.render(values)


def test_the_check_finds_what_is_wrong(chart: Chart) -> None:
    manifests = chart.render()
    spoiled = json.loads(json.dumps(manifests))
    server = pod_of(kind(spoiled, "Deployment"))["containers"][0]
    server["ports"][0]["containerPort"] = "eighty"
    server["volumeMounts"].append({"name": "nowhere", "mountPath": "/x"})
    server["securityContext"]["readOnlyRootFilesystem"] = False
    kind(spoiled, "Service")["spec"]["selector"]["app.kubernetes.io/name"] = "other"
    found = " ".join(faults(spoiled))
    assert all(word in found for word in ("eighty", "nowhere", "may write to its root", "do not all find"))
