"""What the chart has for operators, by models that were made from their own definitions."""

from __future__ import annotations

from typing import Any

import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from pydantic import BaseModel, ValidationError

from tests.deploy.chart import Chart, kind

MODELS: dict[str, type[BaseModel]] = {
    "ScaledObject": ScaledObject,
    "ServiceMonitor": ServiceMonitor,
    "PrometheusRule": PrometheusRule,
}
EVERYTHING: dict[str, Any] = {
    "autoscaling": {"kind": "keda"},
    "keys": {"secret": "keys"},
    "tls": {"secret": "tls"},
    "monitoring": {
        "serviceMonitor": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "credentials": {"secret": "scraper", "key": "key"},
        },
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    },
}


def unknown(given: Any, model: Any, place: str = "") -> list[str]:
    """The keys of `given` that a model did not take up; a field that is not set is left out of its dump."""
    if isinstance(given, dict):
        if not isinstance(model, dict):
            return [place]
        return [
            name
            for key, value in given.items()
            for name in (unknown(value, model[key], f"{place}.{key}") if key in model else [f"{place}.{key}"])
        ]
    if isinstance(given, list):
        return [name for one, other in zip(given, model, strict=True) for name in unknown(one, other, place)]
    return []


def lost(manifest: dict[str, Any]) -> list[str]:
    model = MODELS[manifest["kind"]].model_validate(manifest)
    return unknown(manifest, model.model_dump(mode="json", by_alias=True, exclude_unset=True))


@pytest.mark.parametrize("name", MODELS)
def test_an_operator_takes_what_the_chart_gives(chart: Chart, name: str) -> None:
    assert lost(kind(chart.render(EVERYTHING), name)) == []


def test_the_models_refuse_what_is_wrong(chart: Chart) -> None:
    manifests = chart.render(EVERYTHING)
    scaled = kind(manifests, "ScaledObject")
    scaled["spec"]["maxReplicaCount"] = "many"
    monitor = kind(manifests, "ServiceMonitor")
    monitor["spec"]["endpoints"] = "metrics"
    for one in (scaled, monitor):
        with pytest.raises(ValidationError):
            lost(one)
