"""What the command line of the server refuses before anything is started."""

from __future__ import annotations

import pytest
from trimode.errors import ServeError
from trimode.server import cli
from trimode.server.launch.options import parser


@pytest.mark.parametrize("second", ["--grpc-port", "--metrics-port"])
def test_two_faces_cannot_have_one_port(second: str) -> None:
    options = parser().parse_args(["--http-port", "8123", second, "8123"])
    with pytest.raises(ServeError, match=r"each needs a port of its own, got --http-port 8123"):
        cli.settle_ports(options)


def test_ports_of_the_servers_choice_are_three() -> None:
    options = parser().parse_args(["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"])
    cli.settle_ports(options)
    assert len({options.http_port, options.grpc_port, options.metrics_port, 0}) == 4


def test_one_body_is_not_larger_than_all_together() -> None:
    options = parser().parse_args(["--max-body-mib", "300"])
    with pytest.raises(ServeError, match="--max-bodies-mib must be at least --max-body-mib, 300, got 256"):
        cli.limits_of(options)
    limits = cli.limits_of(parser().parse_args(["--max-body-mib", "2", "--max-bodies-mib", "2.5"]))
    assert (limits.body_bytes, limits.bodies.most_bytes) == (2 * 2**20, 5 * 2**19)
