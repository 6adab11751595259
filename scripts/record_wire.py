"""`python -m scripts.record_wire`: write tests/repository/wire.json, which says what clients and operators see.

tests/repository/test_wire.py fails where the code and the file differ; this makes them agree. The recorded requests
stay, their echoes are written again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from trimode.api.params import GenerationParams
from trimode.errors import ERROR_TYPES
from trimode.metrics import METRICS

from tests.repository import test_wire
from tests.support.layout import ROOT


def found() -> dict[str, Any]:
    """Return what wire.json must say for the code as it is."""
    config = ROOT / "model_repository" / "nemotron_diffusion" / "config.pbtxt"
    types = {name: [row.http_status, row.triton_code, row.outcome] for name, row in ERROR_TYPES.items()}
    before = test_wire.WIRE["error_types"]
    # null stands for a way out that no answer took, so that any value agrees with it
    for name, row in types.items():
        known = before.get(name, row)
        if all(old in (new, None) for old, new in zip(known, row, strict=True)):
            types[name] = known
    asked = [record["request"] for record in test_wire.RECORDED]
    return {
        "config.pbtxt": hashlib.sha256(config.read_bytes()).hexdigest(),
        "error_types": dict(sorted(types.items())),
        "metrics": [asdict(metric) for metric in METRICS],
        "effective_params": [{"request": one, "echo": echo(one)} for one in asked],
    }


def echo(request: dict[str, Any]) -> dict[str, Any]:
    """Return the effective values of a recorded request."""
    return GenerationParams.parse({"seed": 12345, **request}, test_wire.DEFAULTS).echo()


def text_of(value: Any) -> str:
    """Return `value` as JSON, a line for each item of a list, so that a diff shows what changed."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
    return json.dumps(value)


if __name__ == "__main__":
    body = ",\n".join(f"{json.dumps(name)}: {text_of(value)}" for name, value in found().items())
    (ROOT / "tests" / "repository" / "wire.json").write_text(f"{{\n{body}\n}}\n", encoding="utf-8")
