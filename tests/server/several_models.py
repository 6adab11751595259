"""A server of two models: a bundle and a copy of it, which has a name and settings of its own; and how it is asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from tests.server.server import Server, children
from tests.server.wire import send
from tests.support.layout import ROOT

FIRST, SECOND, SECOND_OF_KSERVE = "nano", "other/one", "other-one"
NAMED = ("--served-model-name", FIRST, "--served-model-name", SECOND)
PROMPT = [5, 6, 7]
ASKED = {"input_ids": PROMPT, "mode": "autoregressive", "max_tokens": 24, "return_token_ids": True}
LONG: dict[str, Any] = {"input_ids": PROMPT, "mode": "autoregressive", "max_tokens": 1900, "end_id": -1}
OWN_TOKENS = 5
"""What the second model's own model.yaml has for default_max_tokens."""
MOST_SECONDS = 300.0


def repository_in(place: Path) -> Path:
    """A model repository in which the second model has settings of its own."""
    made = shutil.copytree(ROOT / "model_repository", place / "model_repository")
    (made / SECOND_OF_KSERVE).mkdir()
    settings = f"bundle: nowhere\ndefault_max_tokens: {OWN_TOKENS}\n"
    (made / SECOND_OF_KSERVE / "model.yaml").write_text(settings, encoding="utf-8")
    return made


def serving(bundle: Path, place: Path, *options: str) -> Server:
    """A server of `bundle` and of a copy of it in `place`."""
    other = place / "bundle"
    if not other.exists():
        shutil.copytree(bundle, other)
    return Server(bundle, place / "log", "--bundle", str(other), *NAMED, *options)


def generate(server: Server, model: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    path = f"/v2/models/{quote(model, safe='')}/generate"
    status, answer = send(server.http_port, "POST", path, json.dumps(request).encode())
    return status, json.loads(answer)


def complete(server: Server, endpoint: str = "completions", **request: Any) -> tuple[int, dict[str, Any]]:
    status, answer = send(server.http_port, "POST", f"/v1/{endpoint}", json.dumps(request).encode())
    return status, json.loads(answer)


def triton_of(server: Server, model: str) -> psutil.Process:
    """The tritonserver that serves a model of KServe's name."""
    for triton in children(psutil.Process(server.process.pid), "tritonserver"):
        (place,) = [part.partition("=")[2] for part in triton.cmdline() if part.startswith("--model-repository=")]
        if (Path(place) / model).exists():
            return triton
    raise AssertionError(f"no tritonserver has {model}")


def names_of(server: Server) -> list[str]:
    listed = json.loads(send(server.http_port, "GET", "/v1/models")[1])["data"]
    return [one["id"] for one in listed if one["parent"] is None]
