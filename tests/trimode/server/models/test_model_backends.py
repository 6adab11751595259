"""Which model a name stands for, and what the server is while not all of its models serve."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from trimode.api.tensors import MODEL_NAME, MODEL_VERSION
from trimode.errors import Refusal
from trimode.server.backend_client import BackendClient
from trimode.server.models.model_backend import ModelBackend
from trimode.server.models.model_backends import ModelBackends
from trimode.server.serving import Limits


@dataclass
class State:
    alive: bool = True
    stopping: bool = False


def model(name: str = MODEL_NAME, *others: str, state: State | None = None) -> ModelBackend:
    return ModelBackend(BackendClient(1), state or State(), Limits(), name=name, others=others)


@pytest.mark.parametrize("version", ["", MODEL_VERSION])
@pytest.mark.parametrize(("asked", "found"), [(MODEL_NAME, 0), ("nano", 0), ("smol", 1), ("hf/smol", 1)])
def test_a_model_is_found_by_each_of_its_names(asked: str, found: int, version: str) -> None:
    every = [model(MODEL_NAME, "nano"), model("smol", "hf/smol")]
    assert ModelBackends(*every).find(asked, version) is every[found]


def test_of_all_models_those_that_serve_are_asked_and_all_where_none_does() -> None:
    states = [State(), State()]
    every = [model(name, state=state) for name, state in zip(("a", "b"), states, strict=True)]
    models = ModelBackends(*every)
    assert models.to_ask == every
    states[0].alive = False
    assert models.to_ask == every[1:]
    states[1].alive = False
    assert models.to_ask == every


def test_a_name_of_kserve_goes_before_another_models_other_name() -> None:
    every = [model(MODEL_NAME, "smol"), model("smol")]
    assert ModelBackends(*every).find("smol") is every[1]


@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("", "", "there is no model "),
        (MODEL_NAME.upper(), "", "there is no model "),
        ("x" * 10_000, "", "there is no model "),
        (MODEL_NAME, "01", f"{MODEL_NAME} has no version "),
        (MODEL_NAME, "-1", f"{MODEL_NAME} has no version "),
    ],
)
def test_a_model_that_is_not_served(name: str, version: str, text: str) -> None:
    with pytest.raises(Refusal) as caught:
        ModelBackends(model()).find(name, version)
    assert caught.value.on_the_wire().startswith(f"not_found: {text}")
    assert len(caught.value.on_the_wire()) < 300


def test_of_several_the_refusal_names_each() -> None:
    with pytest.raises(Refusal, match='there is no model "x"; this server has nemotron_diffusion, smol'):
        ModelBackends(model(), model("smol")).find("x")


def test_the_server_serves_while_all_of_its_models_do_and_stops_as_soon_as_one_does() -> None:
    states = [State(), State()]
    every = ModelBackends(*(model(name, state=state) for name, state in zip("ab", states, strict=True)))
    assert (every.alive, every.stopping) == (True, False)
    states[1].alive = False
    assert (every.alive, every.stopping) == (False, False)
    states[0].stopping = True
    assert (every.alive, every.stopping) == (False, True)
