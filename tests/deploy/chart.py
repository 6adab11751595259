"""The chart through helm: rendered with values, and what a rendering must be whatever the values are."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from tests.support.layout import ROOT

FOLDER = ROOT / "deploy" / "helm" / "trimode"
VALUES = sorted((FOLDER / "values").glob("*.yaml"))
VERSIONS = ("1.31", "1.34", "1.37")
"""The releases of Kubernetes that everything is checked against: the newest, and every third one before it."""
OPERATORS = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}
"""Kinds that Kubernetes itself does not have."""
Manifest = dict[str, Any]


class RefusedError(Exception):
    """Helm refused the values; the text is its reason."""


class Chart:
    """Renders deploy/helm/trimode with one helm."""

    def __init__(self, helm: Path) -> None:
        self.helm = helm

    def run(self, *words: str | Path, given: str = "") -> str:
        command = [self.helm, *words]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RefusedError(done.stdout + done.stderr)
        return done.stdout

    def render(self, values: Mapping[str, Any] | None = None, *files: Path, release: str = "one") -> list[Manifest]:
        """The manifests, those of hooks too; `values` win over `files`."""
        named = [word for file in files for word in ("--values", str(file))]
        words = ("template", release, str(FOLDER), "--namespace", "ns", *named, "--values", "-")
        return [found for found in yaml.safe_load_all(self.run(*words, given=json.dumps(values or {}))) if found]


def kind(manifests: list[Manifest], name: str) -> Manifest:
    """The only manifest of a kind."""
    (found,) = (one for one in manifests if one["kind"] == name)
    return found


def pod_of(manifest: Manifest) -> Manifest:
    found: Manifest = manifest["spec"]["template"]["spec"]
    return found


def containers_of(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def faults(manifests: list[Manifest]) -> Iterator[str]:
    """What is wrong with manifests by Kubernetes' own schemas, or does not fit together."""
    for one in manifests:
        for version in VERSIONS:
            if one["kind"] not in OPERATORS:
                try:
                    kubernetes_validate.validate(one, version, strict=True)
                except kubernetes_validate.ValidationError as exc:
                    yield f"{one['kind']} {version}: {exc.message}"
    for one in manifests:
        if one["kind"] in ("Deployment", "Job"):
            yield from pod_faults(one)
    yield from _unreached(manifests)


def pod_faults(manifest: Manifest) -> Iterator[str]:
    """Volumes that are not there, and what a container may do that it should not."""
    pod, name = pod_of(manifest), manifest["kind"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    mounted = {mount["name"] for one in containers_of(pod) for mount in one.get("volumeMounts", ())}
    if volumes != mounted:
        yield f"{name}: volumes {sorted(volumes)}, mounted {sorted(mounted)}"
    if not pod["securityContext"]["runAsNonRoot"] or pod["automountServiceAccountToken"] or pod["enableServiceLinks"]:
        yield f"{name}: may be root, has a token, or gets variables of services"
    for one in containers_of(pod):
        if "securityContext" not in one:
            continue  # a container of the user's own
        security = one["securityContext"]
        if security["allowPrivilegeEscalation"] or not security["readOnlyRootFilesystem"]:
            yield f"{name} {one['name']}: may write to its root, or become another user"
        if "memory" not in one["resources"]["limits"]:
            yield f"{name} {one['name']}: has no limit of memory"


def _unreached(manifests: list[Manifest]) -> Iterator[str]:
    """Selectors and names of ports that do not find the server's pods."""
    deployment = kind(manifests, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"] for port in pod_of(deployment)["containers"][0]["ports"]}
    service = kind(manifests, "Service")
    selectors = [deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"]]
    for one in manifests:
        if one["kind"] == "PodDisruptionBudget":
            selectors.append(one["spec"]["selector"]["matchLabels"])
        if one["kind"] == "NetworkPolicy":
            selectors.append(one["spec"]["podSelector"]["matchLabels"])
            named = {port["port"] for rule in one["spec"]["ingress"] for port in rule["ports"]}
            if named != ports:
                yield f"NetworkPolicy: ports {sorted(named)}, the pod has {sorted(ports)}"
        if one["kind"] == "ServiceMonitor" and not (
            one["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        ):
            yield "ServiceMonitor: does not find the Service"
    if not all(selector.items() <= labels.items() for selector in selectors):
        yield f"selectors {selectors} do not all find {labels}"
    if {port["targetPort"] for port in service["spec"]["ports"]} != ports:
        yield f"Service: does not lead to {sorted(ports)}"
