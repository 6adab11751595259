"""Where the Triton behind a server listens."""

from __future__ import annotations

import psutil
import pytest
from trimode_perf.common.progress import MeasureError
from trimode_perf.speed.fronts import behind
from trimode_perf.speed.fronts.behind import Behind


def test_triton_adds_the_port_to_the_name_of_grpcs_socket_alone() -> None:
    command = ["tritonserver", "--grpc-address=unix:/x/grpc", "--http-address=unix:/x/http"]
    found = Behind.read([*command, "--grpc-port=5", "--http-port=6"])
    assert found == Behind("unix:/x/grpc:5", "unix:/x/http")


def test_a_triton_at_ports_is_found_there() -> None:
    command = ["tritonserver", "--grpc-address=127.0.0.1", "--http-address=127.0.0.1"]
    assert Behind.read([*command, "--grpc-port=5", "--http-port=6"]) == Behind("127.0.0.1:5", "127.0.0.1:6")


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(MeasureError, match="no server of this run listens at 127\\.0\\.0\\.1:1"):
        behind.server_at("127.0.0.1:1")


def test_processor_time_is_counted_finely() -> None:
    this = psutil.Process()
    began = behind.spent(this)
    ends = began + 0.002
    while behind.spent(this) < ends:
        pass
    assert behind.spent(this) - began < 1.0
