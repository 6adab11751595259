"""Values of the chart at random, of those that its schema allows."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
SWITCHES = st.booleans()
SECONDS = st.integers(1, 86400)
SHARES = st.one_of(st.integers(1, 4), st.sampled_from(["25%", "100%"]))
LABELS = st.dictionaries(NAMES, NAMES, max_size=2)
SERVE = st.fixed_dictionaries(
    {},
    optional={
        "max-body-mib": st.sampled_from([0.5, 8, 2047]),
        "max-connections": st.integers(1, 10**6),
        "requests-per-minute": st.integers(1, 10**6),
        "trusted-proxies": st.sampled_from(["10.0.0.0/8", "10.0.0.1,10.0.0.2"]),
        "allowed-origins": st.sampled_from(["*", "https://example.com:8080"]),
        "served-model-name": st.lists(NAMES, max_size=2),
        "no-playground": SWITCHES,
        "verify": SWITCHES,
        "silence": st.sampled_from([0.25, 300]),
    },
)
MODEL = st.fixed_dictionaries(
    {},
    optional={
        "threads": st.integers(0, 1024),
        "spin": SWITCHES,
        "max_slots": st.integers(1, 1024) | st.just("auto"),
        "max_queue": st.integers(0, 10**6),
        "prefix_cache_mib": st.integers(0, 10**6),
        "picture_cache_mib": st.integers(0, 10**6),
        "max_images": st.integers(1, 1024),
        "allowed_media_domains": st.sampled_from(["", "example.com", "example.com,images.local:8443"]),
        "default_mode": st.sampled_from(["auto", "autoregressive", "diffusion", "self_speculation"]),
    },
)
BUILD = st.fixed_dictionaries(
    {"enabled": SWITCHES},
    optional={
        "options": st.fixed_dictionaries(
            {},
            optional={
                "target": st.sampled_from(["onnxruntime", "tensorrt", "torch"]),
                "capacity": st.integers(64, 10**6),
                "compute-capability": st.lists(st.sampled_from(["8.9", "9.0"]), max_size=2),
                "verify": SWITCHES,
            },
        ),
        "checkpoint": st.fixed_dictionaries({"claim": NAMES}, optional={"path": st.sampled_from(["a/b", "m.Q4.gguf"])}),
        "deadlineSeconds": SECONDS,
    },
)
BUNDLE = st.one_of(
    st.just({"source": "link"}),
    st.fixed_dictionaries({"source": st.sampled_from(["claim", "copy"])}, optional={"claim": NAMES, "name": NAMES}),
    st.just(
        {
            "source": "init",
            "initContainers": [
                {"name": "pull", "image": "x:1", "volumeMounts": [{"name": "bundle", "mountPath": "/b"}]}
            ],
        }
    ),
)
AUTOSCALING = st.fixed_dictionaries(
    {"kind": st.sampled_from(["none", "hpa", "keda"])},
    optional={"waitingPerReplica": st.integers(1, 1000), "scaleDownSeconds": st.integers(0, 3600)},
)
MONITORING = st.fixed_dictionaries(
    {
        "serviceMonitor": st.fixed_dictionaries(
            {"enabled": SWITCHES, "credentials": st.just({"secret": "scraper", "key": "key"})},
            optional={"labels": LABELS},
        ),
        "prometheusRule": st.fixed_dictionaries({"enabled": SWITCHES}, optional={"labels": LABELS}),
    }
)
VALUES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "fullnameOverride": NAMES,
        "image": st.fixed_dictionaries(
            {"repository": st.sampled_from(["trimode", "registry.local:5000/a/trimode"])},
            optional={
                "digest": st.just("sha256:" + "0f" * 32),
                "tag": NAMES,
                "pullSecrets": st.lists(NAMES, max_size=2),
            },
        ),
        "replicas": st.integers(0, 100),
        "modelName": st.sampled_from(["nano", "8b", "Nemotron-8B.v1"]),
        "model": MODEL,
        "serve": SERVE,
        "startSeconds": SECONDS,
        "drain": st.fixed_dictionaries({"preStopSeconds": SECONDS, "longestAnswerSeconds": SECONDS}),
        "gpu": st.fixed_dictionaries({"resource": st.sampled_from(["", "nvidia.com/gpu", "nvidia.com/mig-3g.71gb"])}),
        "runtimeClassName": NAMES,
        "bundle": BUNDLE,
        "build": BUILD,
        "keys": st.fixed_dictionaries({"secret": st.sampled_from(["", "keys"])}),
        "tls": st.fixed_dictionaries({"secret": st.sampled_from(["", "tls"])}),
        "metrics": st.fixed_dictionaries({"withoutKey": SWITCHES}),
        "strategy": st.fixed_dictionaries({"maxSurge": SHARES, "maxUnavailable": SHARES}),
        "podDisruptionBudget": st.fixed_dictionaries({"enabled": SWITCHES}, optional={"maxUnavailable": SHARES}),
        "spread": SWITCHES,
        "podLabels": LABELS,
        "podAnnotations": LABELS,
        "nodeSelector": LABELS,
        "priorityClassName": NAMES,
        "networkPolicy": st.fixed_dictionaries({"enabled": SWITCHES}),
        "autoscaling": AUTOSCALING,
        "monitoring": MONITORING,
    },
)


def contradicts(values: dict[str, Any]) -> str:
    """Why the chart refuses the values together, as a pattern; "" if it does not."""
    build, source = values.get("build", {}), values.get("bundle", {}).get("source", "claim")
    torch = build.get("options", {}).get("target") == "torch"
    if torch != (source == "link"):
        return r"build\.options\.target torch"
    if build.get("enabled") and source in ("init", "link"):
        return rf"build\.enabled writes to bundle\.claim, and bundle\.source {source} does not read from there"
    return ""
