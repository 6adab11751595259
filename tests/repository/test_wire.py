"""What clients and operators see is what version 0.1.0 showed, byte for byte; wire.json was recorded there.

A change that is meant changes wire.json in the same commit, which is where a reviewer sees it.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from trimode.api.defaults import Defaults
from trimode.api.effort import EffortTable, Level
from trimode.api.fields import FIELDS
from trimode.api.params import ECHO_ORDER, GenerationParams
from trimode.errors import ERROR_TYPES
from trimode.metrics import METRICS

from tests.support.layout import PACKAGES, ROOT

WIRE: dict[str, Any] = json.loads(Path(__file__).with_name("wire.json").read_text(encoding="utf-8"))
LEVELS = (
    Level(0.0, 16, 4, None, 0, 0.9, 0.1),
    Level(0.5, 32, 16, 0.8, 0, 0.95, 0.2),
    Level(1.0, 32, 32, 0.95, 3, 0.99, 0.3),
)
DEFAULTS = Defaults(
    vocab_size=2048,
    block_length=32,
    end_id=1,
    end_think_token_id=7,
    mask_token_id=3,
    adapter=True,
    effort=EffortTable("hash", LEVELS),
)
RECORDED = WIRE["effective_params"]


def test_the_models_configuration() -> None:
    text = (ROOT / "model_repository" / "nemotron_diffusion" / "config.pbtxt").read_bytes()
    assert hashlib.sha256(text).hexdigest() == WIRE["config.pbtxt"]


def test_the_metrics() -> None:
    assert json.loads(json.dumps([asdict(metric) for metric in METRICS])) == WIRE["metrics"]


def test_the_error_types_and_what_they_mean_outside() -> None:
    assert set(ERROR_TYPES) == set(WIRE["error_types"])
    for name, recorded in WIRE["error_types"].items():
        row = ERROR_TYPES[name]
        now = (row.http_status, row.triton_code, row.outcome)
        # None: no answer carried it that way, over HTTP, over gRPC or in the metrics
        assert all(before in (after, None) for before, after in zip(recorded, now, strict=True)), name


@pytest.mark.parametrize(
    "number", range(len(RECORDED)), ids=lambda number: json.dumps(RECORDED[number]["request"])[:60]
)
def test_the_effective_params_of_a_recorded_request(number: int) -> None:
    request, echo = RECORDED[number]["request"], RECORDED[number]["echo"]
    params = GenerationParams.parse({"seed": 12345, **request}, DEFAULTS)
    assert json.dumps(params.echo()) == json.dumps(echo)


def test_every_field_can_be_echoed() -> None:
    assert sorted(ECHO_ORDER) == sorted(field.name for field in FIELDS)


def test_every_type_that_is_raised_is_in_the_table() -> None:
    raised: set[str] = set()
    for package in PACKAGES.values():
        for path in package.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.keyword) and node.arg == "error_type" and isinstance(node.value, ast.Constant):
                    raised.add(str(node.value.value))
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refusal":
                    assert isinstance(node.args[0], ast.Constant)
                    raised.add(str(node.args[0].value))
    assert {"wrong_type", "too_large", "unavailable"} <= raised <= set(ERROR_TYPES)


def test_retryable_is_what_may_succeed_when_it_is_sent_again() -> None:
    assert {name for name, row in ERROR_TYPES.items() if row.retryable} == {
        "overloaded",
        "rate_limited",
        "unavailable",
        "engine_failed",
    }
