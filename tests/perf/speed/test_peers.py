"""Peers as a part."""

from __future__ import annotations

import pytest
from trimode.config import ServerConfig
from trimode_perf.speed import Context, Options, int8, peers


def test_a_part_whose_libraries_are_not_here_finds_nothing(options: Options) -> None:
    made = Context(options, ServerConfig(bundle=options.bundle), 1.0)
    assert peers.measure(made) == int8.measure(made) == {}


def test_the_command_needs_the_peers_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(["--bundle", "b"]) == 1
    assert "--peers-python must name an interpreter with the peers' libraries" in capsys.readouterr().err
