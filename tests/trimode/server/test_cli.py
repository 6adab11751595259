"""What the command line of the server refuses before anything is started."""

from __future__ import annotations

import pytest
from trimode.errors import ServeError
from trimode.server import cli


@pytest.mark.parametrize("second", ["--grpc-port", "--metrics-port"])
def test_two_faces_cannot_have_one_port(second: str) -> None:
    options = cli.parser().parse_args(["--http-port", "8123", second, "8123"])
    with pytest.raises(ServeError, match=r"each needs a port of its own, got --http-port 8123"):
        cli.settle_ports(options)


def test_ports_of_the_servers_choice_are_three() -> None:
    options = cli.parser().parse_args(["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"])
    cli.settle_ports(options)
    assert len({options.http_port, options.grpc_port, options.metrics_port, 0}) == 4


@pytest.mark.parametrize("size", ["0", "-1", "nan", "inf", "2048", "many"])
def test_a_size_that_cannot_be_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["--max-body-mib", size])
    assert f"must be above 0 and at most 2047, got {size}" in capsys.readouterr().err
