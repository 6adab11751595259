"""What a model's config says of its modes, over both protocols."""

from __future__ import annotations

import json

import httpx
import pytest
from trimode.api.fields import Mode
from trimode.api.tensors import MODES
from trimode_client.transports import grpc_common, http_common
from trimode_client.transports.base import Health, modes_of
from tritonclient.grpc import service_pb2 as pb

CAUSAL = ("auto", "autoregressive")


def test_a_config_without_the_parameter_has_all_modes() -> None:
    assert modes_of(None) == modes_of("") == tuple(Mode)
    assert modes_of("auto,autoregressive") == CAUSAL


@pytest.mark.parametrize(
    ("status", "body", "modes"),
    [
        (200, {"parameters": {MODES: {"string_value": "auto,autoregressive"}}}, CAUSAL),
        (200, {"parameters": {}}, tuple(Mode)),
        (200, {"name": "m"}, tuple(Mode)),
        (200, [], ()),
        (404, {}, ()),
    ],
)
def test_modes_over_http(status: int, body: object, modes: tuple[str, ...]) -> None:
    assert http_common.modes_in(httpx.Response(status, text=json.dumps(body))) == modes
    assert http_common.modes_in(httpx.Response(200, text="no JSON")) == ()
    assert http_common.config_path("m") == "/v2/models/m/config"


def test_modes_over_grpc() -> None:
    answer = pb.ModelConfigResponse()
    assert grpc_common.modes_in(answer) == tuple(Mode)
    answer.config.parameters[MODES].string_value = "auto,autoregressive"
    assert grpc_common.modes_in(answer) == CAUSAL


def test_a_server_is_as_well_whatever_its_modes() -> None:
    assert Health(True, True, True, modes=CAUSAL) == Health.from_answers("u", True, True, True)
