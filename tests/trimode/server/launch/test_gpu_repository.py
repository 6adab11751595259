"""Instances on GPUs: what `--gpus` takes, the repository that is rendered for them, where an instance finds itself."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trimode.api.tensors import MODEL_NAME, config_pbtxt, instance_group
from trimode.config import ServerConfig
from trimode.errors import ServeError
from trimode.server.launch import served
from trimode.server.launch.gpu_repository import on_gpus, parse_gpus
from trimode.server.launch.options import parser
from trimode.triton.instance import Instance

REPOSITORY = Path(__file__).parents[4] / "model_repository"


def manifest(runtime: str) -> Any:
    return SimpleNamespace(runtime=runtime, model="toy")


@pytest.mark.parametrize(("text", "gpus"), [("0", (0,)), ("0,1", (0, 1)), (" 3 , 1 ", (3, 1))])
def test_gpus_are_indices_with_commas(text: str, gpus: tuple[int, ...]) -> None:
    assert parse_gpus(text) == gpus


@pytest.mark.parametrize("text", ["", "a", "0,", "-1", "0 1", "1024", "0.5", "²"])
def test_other_gpus_are_refused(text: str) -> None:
    with pytest.raises(ServeError, match="--gpus must be indices between 0 and 1023 separated by commas") as caught:
        parse_gpus(text)
    assert repr(text) in str(caught.value)


def test_a_gpu_named_twice_is_refused() -> None:
    with pytest.raises(ServeError, match="--gpus must name each GPU once, got '0,1,0'"):
        parse_gpus("0,1,0")


def test_each_gpu_has_one_instance() -> None:
    assert instance_group([0, 1]) == "instance_group [ { count: 1, kind: KIND_GPU, gpus: [ 0, 1 ] } ]"


def test_only_the_instance_group_differs_from_the_default() -> None:
    default, on = config_pbtxt().splitlines(), config_pbtxt([2]).splitlines()
    assert [(a, b) for a, b in zip(default, on, strict=True) if a != b] == [(instance_group(), instance_group([2]))]


def test_a_rendered_repository_has_its_own_config_and_everything_else(tmp_path: Path) -> None:
    model = on_gpus(REPOSITORY, (0, 1), tmp_path) / MODEL_NAME
    assert (model / "config.pbtxt").read_text(encoding="utf-8") == config_pbtxt((0, 1))
    assert ServerConfig.load(model / "model.yaml", {}) == ServerConfig()
    # the shim finds a checkout from where it really is
    assert (model / "1" / "model.py").resolve() == REPOSITORY / MODEL_NAME / "1" / "model.py"
    assert (REPOSITORY / MODEL_NAME / "config.pbtxt").read_text(encoding="utf-8") == config_pbtxt()


def test_gpus_need_a_bundle_that_runs_on_them() -> None:
    with pytest.raises(ServeError, match="--gpus needs a bundle for tensorrt or torch, toy was built for onnxruntime"):
        served.gpus_for("0", manifest("onnxruntime"))
    assert served.gpus_for(None, manifest("onnxruntime")) == ()
    assert served.gpus_for("1,0", manifest("tensorrt")) == served.gpus_for("1,0", manifest("torch")) == (1, 0)


@pytest.mark.parametrize(("kind", "gpu"), [("GPU", 1), ("KIND_GPU", 1), ("CPU", None), ("MODEL", None)])
def test_an_instance_knows_its_gpu(kind: str, gpu: int | None) -> None:
    args = {"model_instance_name": "it_0_1", "model_instance_kind": kind, "model_instance_device_id": "1"}
    assert Instance.of(args) == Instance("it_0_1", gpu)


def options(*given: str) -> argparse.Namespace:
    return parser().parse_args(given)


def test_everything_listens_on_loopback_unless_another_address_is_given() -> None:
    assert (options().host, options().grpc_host, options().metrics_host) == ("127.0.0.1",) * 3
    assert options("--metrics-host", "::").metrics_host == "::"
