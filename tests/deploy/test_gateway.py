"""deploy/gateway and deploy/kserve: by the models of KServe's package, and by what the chart and the server have."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.chart import VERSIONS, Chart, kind, pod_of
from tests.support.layout import ROOT

GATEWAY = ROOT / "deploy" / "gateway"
KSERVE = sorted((ROOT / "deploy" / "kserve").glob("*.yaml"))
PICKERS = sorted(GATEWAY.glob("endpoint-picker*.yaml"))
KINDS = {
    "ClusterServingRuntime": "v1alpha1_cluster_serving_runtime",
    "InferenceService": "v1beta1_inference_service",
    "LLMInferenceService": "v1alpha2_llm_inference_service",
}
"""The module of KServe's package in which each kind's model is."""
NOT_IN_THE_PACKAGE = {
    "V1ObjectMeta", "V1Container", "V1Volume",  # Kubernetes' own
    "dict(str, str)",
    "V1alpha2LLMInferenceServiceSpec",
}  # fmt: skip
"""Types of fields without a model in KServe's package: what is below them is not compared."""
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def load(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


class Models:
    """KServe's models, read from their source: a class's fields by their JSON names, with their types."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules = {re.sub("_", "", path.stem).lower(): path for path in folder.glob("*.py")}

    @cache  # noqa: B019 - one of these lives for the session
    def fields(self, model: str) -> dict[str, str] | None:
        """The JSON names and types of a model's fields; None if the package has no such model."""
        path = self.modules.get(model.lower())
        if path is None:
            return None
        tables: dict[str, dict[str, str]] = {}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
            if isinstance(node, ast.Assign) and name in ("openapi_types", "attribute_map"):
                tables[name] = ast.literal_eval(node.value)
        types, names = tables["openapi_types"], tables["attribute_map"]
        return {names[key]: kind for key, kind in types.items()}

    def faults(self, value: Any, name: str, place: str = "") -> list[str]:
        """What of `value` the model `name` does not have, or has as something else."""
        if listed := re.fullmatch(r"list\[(.*)\]", name):
            if not isinstance(value, list):
                return [f"{place}: no list"]
            return [found for one in value for found in self.faults(one, listed[1], place)]
        if name in PLAIN:
            return [] if isinstance(value, PLAIN[name]) else [f"{place}: {value!r} is no {name}"]  # type: ignore[arg-type]
        fields = self.fields(name)
        if fields is None:
            return [] if name in NOT_IN_THE_PACKAGE else [f"{place}: KServe has no model {name}"]
        if not isinstance(value, dict):
            return [f"{place}: no mapping"]
        found = [f"{place}.{key}" for key in value if key not in fields]
        return found + [
            fault
            for key, one in value.items()
            if key in fields
            for fault in self.faults(one, fields[key], f"{place}.{key}")
        ]


@pytest.fixture(scope="module")
def models(kserve_models: Path) -> Models:
    return Models(kserve_models)


def as_pod(manifest: dict[str, Any]) -> dict[str, Any] | None:
    """The pod that a manifest describes, by Kubernetes' own kind."""
    spec = manifest["spec"]
    spec = spec.get("template", spec)
    if "containers" not in spec:
        return None
    own = {key: value for key, value in spec.items() if key in ("containers", "volumes", "enableServiceLinks")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": own}


@pytest.mark.parametrize("path", KSERVE, ids=lambda path: path.stem)
def test_kserve_has_every_field(models: Models, path: Path) -> None:
    manifest = load(path)
    module = KINDS[manifest["kind"]]
    assert manifest["apiVersion"] == f"serving.kserve.io/{module.partition('_')[0]}"
    assert models.faults(manifest, module.replace("_", "")) == []


def test_the_check_finds_a_field_that_kserve_does_not_have(models: Models) -> None:
    manifest = load(ROOT / "deploy" / "kserve" / "inferenceservice.yaml")
    manifest["spec"]["predictor"]["replicas"] = 1
    manifest["spec"]["predictor"]["maxReplicas"] = "four"
    assert models.faults(manifest, "v1beta1inferenceservice") == [
        ".spec.predictor.replicas",
        ".spec.predictor.maxReplicas: 'four' is no int",
    ]


def test_the_check_finds_a_type_that_it_does_not_know(models: Models) -> None:
    assert models.faults({}, "V1beta1NoSuchSpec", ".spec") == [".spec: KServe has no model V1beta1NoSuchSpec"]
    assert [name for name in NOT_IN_THE_PACKAGE if models.fields(name)] == []


@pytest.mark.parametrize("path", KSERVE, ids=lambda path: path.stem)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_pods_for_kserve_are_what_kubernetes_takes(path: Path, version: str) -> None:
    pod = as_pod(load(path))
    if pod is None:
        assert path.stem == "inferenceservice"
        return
    kubernetes_validate.validate(pod, version, strict=True)
    for container in pod["spec"]["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= {one["name"] for one in pod["spec"]["volumes"]}


def test_the_pool_finds_the_charts_pods(chart: Chart) -> None:
    pool = load(GATEWAY / "inferencepool.yaml")
    deployment = kind(chart.render(), "Deployment")
    assert (
        pool["spec"]["selector"]["matchLabels"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    )
    (port,) = (one["containerPort"] for one in pod_of(deployment)["containers"][0]["ports"] if one["name"] == "http")
    assert pool["spec"]["targetPorts"] == [{"number": port}]


def test_the_route_leads_to_the_pool() -> None:
    pool, route = load(GATEWAY / "inferencepool.yaml"), load(GATEWAY / "httproute.yaml")
    ((backend,),) = (rule["backendRefs"] for rule in route["spec"]["rules"])
    assert backend == {
        "group": pool["apiVersion"].partition("/")[0],
        "kind": pool["kind"],
        "name": pool["metadata"]["name"],
    }


@pytest.mark.parametrize("path", PICKERS, ids=lambda path: path.stem)
def test_a_picker_refers_to_its_own_plugins(path: Path) -> None:
    config = load(path)
    named = {plugin.get("name", plugin["type"]) for plugin in config["plugins"]}
    used = set(re.findall(r"pluginRef: ([\w-]+)", path.read_text(encoding="utf-8")))
    assert used <= named
    extractor = next(one for one in config["plugins"] if one["type"] == "core-metrics-extractor")["parameters"]
    assert extractor["defaultEngine"] in {engine["name"] for engine in extractor["engineConfigs"]}
