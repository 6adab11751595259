"""Where the Triton behind a server listens."""

from __future__ import annotations

import os
from pathlib import Path

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


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel counts in ticks alone")
def test_processor_time_is_counted_finely() -> None:
    this = psutil.Process()
    began = behind.spent(this)
    found = began
    while found == began:
        found = behind.spent(this)
    tick = 10**9 // os.sysconf("SC_CLK_TCK")
    assert round((found - began) * 1e9) % tick  # a count in ticks would move by whole ones alone
