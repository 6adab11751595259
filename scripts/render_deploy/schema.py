"""values.schema.json of the chart: which values it takes, for server and converter from their tables."""

from __future__ import annotations

import json
from typing import Any

from trimode.server.launch.options import parser as serve_parser
from trimode_convert.cli import parser as convert_parser

from .options import Schema, mapping, of_parser, of_settings

FILE = "helm/trimode/values.schema.json"
OF_THE_POD = ("bundle", "device")
"""Keys of model.yaml that the chart leaves alone: a pod has one bundle and one GPU."""
OF_THE_CHART = (
    "model-repository", "bundle", "reveal-rule", "host", "grpc-host", "metrics-host", "gpus", "http-port", "grpc-port",
    "metrics-port", "triton-ports", "api-key", "api-key-file", "metrics-without-key", "ssl-certfile", "ssl-keyfile",
    "ssl-ca-certs", "ssl-cert-reqs", "ready-timeout", "exit-timeout",
)  # fmt: skip
"""Options of trimode-serve that the chart sets itself, or that have no meaning in a pod."""
OF_THE_BUILD = ("out", "name", "graph-only", "parity-logits", "parity-pictures")
"""Options of the converter that the chart sets itself, or that leave no bundle to serve."""
NOT_SERVED = ("hf-ministral",)
"""Targets that no pod serves: a folder for other engines is no bundle."""

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}
NAME_OR_NONE: Schema = {"anyOf": [{"const": ""}, NAME]}
FOLDER: Schema = {"type": "string", "pattern": "^([A-Za-z0-9_+-][A-Za-z0-9._+-]*(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)*)?$"}
SWITCH: Schema = {"type": "boolean"}
SIZE: Schema = {"type": "string", "pattern": "^[1-9][0-9]*(Mi|Gi|Ti)$"}
ANYTHING: Schema = {"type": "object"}
LIST: Schema = {"type": "array", "items": {"type": "object"}}
COUNT: Schema = {"type": "integer", "minimum": 1}
SECONDS: Schema = {"type": "integer", "minimum": 1, "maximum": 86400}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
SHARE: Schema = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,2}%$|^100%$"}]}
STRINGS: Schema = {"type": "object", "additionalProperties": TEXT}
RESOURCES: Schema = mapping({"requests": ANYTHING, "limits": ANYTHING})


def files() -> dict[str, str]:
    """Return the schema's text by its path."""
    return {FILE: json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"}


def schema() -> Schema:
    """Return the schema of all values."""
    made = mapping(
        {
            "global": ANYTHING,  # helm adds it
            "fullnameOverride": {"type": "string", "maxLength": 52, "pattern": "^([a-z]([-a-z0-9]*[a-z0-9])?)?$"},
            **_what_runs(),
            **_where(),
            **_who_reaches_it(),
            **_how_many(),
        }
    )
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart trimode", **made}


def _what_runs() -> dict[str, Any]:
    image = {
        "repository": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._/:-]*$"},
        "tag": {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"},
        "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
        "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
        "pullSecrets": {"type": "array", "items": NAME},
    }
    bundle = {
        "source": {"enum": ["claim", "copy", "init", "link"]},
        "claim": NAME,
        "name": FOLDER,
        "copySize": SIZE,
        "initContainers": LIST,
    }
    build = {
        "enabled": SWITCH,
        "checkpoint": mapping({"claim": NAME, "path": FOLDER}),
        "options": _of_the_converter(),
        "deadlineSeconds": SECONDS,
        "resources": RESOURCES,
    }
    return {
        "image": mapping(image),
        "modelName": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"},
        "model": of_settings(OF_THE_POD),
        "serve": of_parser(serve_parser(), OF_THE_CHART),
        "startSeconds": SECONDS,
        "drain": mapping({"preStopSeconds": SECONDS, "longestAnswerSeconds": SECONDS}),
        "bundle": {**mapping(bundle), **_needs_containers()},
        "build": mapping(build),
    }


def _of_the_converter() -> Schema:
    """Return the schema of the converter's options, with the engines that a pod serves."""
    found = of_parser(convert_parser(), OF_THE_BUILD)
    target = found["properties"]["target"]
    target["enum"] = [one for one in target["enum"] if one not in NOT_SERVED]
    return found


def _needs_containers() -> Schema:
    """Return what a bundle from init containers needs: one of them."""
    return {
        "if": {"properties": {"source": {"const": "init"}}},
        "then": {"properties": {"initContainers": {"minItems": 1}}},
    }


def _where() -> dict[str, Any]:
    return {
        "gpu": mapping({"resource": {"type": "string", "pattern": "^(nvidia\\.com/[a-z0-9.-]+)?$"}}),
        "runtimeClassName": NAME_OR_NONE,
        "resources": RESOURCES,
        "sharedMemory": SIZE,
        "temporary": SIZE,
        "spread": SWITCH,
        "podAnnotations": STRINGS,
        "podLabels": STRINGS,
        "nodeSelector": STRINGS,
        "tolerations": LIST,
        "affinity": ANYTHING,
        "priorityClassName": NAME_OR_NONE,
    }


def _who_reaches_it() -> dict[str, Any]:
    service = {
        "type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        "annotations": STRINGS,
        "httpPort": PORT,
        "grpcPort": PORT,
        "metricsPort": PORT,
    }
    key = {"type": "string", "minLength": 1, "pattern": "^[-._a-zA-Z0-9]+$"}
    return {
        "keys": mapping({"secret": NAME_OR_NONE, "key": key}),
        "tls": mapping({"secret": NAME_OR_NONE}),
        "metrics": mapping({"withoutKey": SWITCH}),
        "service": mapping(service),
        "networkPolicy": mapping({"enabled": SWITCH, "from": LIST, "metricsFrom": LIST, "egress": LIST}),
    }


def _how_many() -> dict[str, Any]:
    autoscaling = {
        "kind": {"enum": ["none", "hpa", "keda"]},
        "minReplicas": COUNT,
        "maxReplicas": COUNT,
        "waitingPerReplica": COUNT,
        "scaleDownSeconds": {"type": "integer", "minimum": 0, "maximum": 3600},
        "prometheus": {"type": "string", "pattern": "^https?://"},
    }
    credentials = mapping({"secret": NAME_OR_NONE, "key": TEXT})
    monitor = {
        "enabled": SWITCH,
        "interval": {"type": "string", "pattern": "^[1-9][0-9]*(s|m)$"},
        "labels": STRINGS,
        "credentials": credentials,
    }
    rules = mapping({"enabled": SWITCH, "labels": STRINGS})
    return {
        "replicas": {"type": "integer", "minimum": 0},
        "strategy": {**mapping({"maxSurge": SHARE, "maxUnavailable": SHARE}), "not": _both_zero()},
        "podDisruptionBudget": mapping({"enabled": SWITCH, "maxUnavailable": SHARE}),
        "autoscaling": mapping(autoscaling),
        "monitoring": mapping({"serviceMonitor": mapping(monitor), "prometheusRule": rules}),
    }


def _both_zero() -> Schema:
    """Return what a strategy must not be: no pod more and no pod less leaves no way to replace one."""
    none: Schema = {"enum": [0, "0%"]}
    return {"properties": {"maxSurge": none, "maxUnavailable": none}, "required": ["maxSurge", "maxUnavailable"]}
