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


def test_an_answer_of_four_bits_is_held_where_ours_had_four_too() -> None:
    row = {"peer": "llama.cpp Q4_0", "times_ours": {"median": 0.9}, "times_our_auto": {"median": 1.0}}
    assert peers.claims({"peers": {"rows": [row]}}) == []  # of before: against int8
    said = "llama.cpp Q4_0 takes 0.90 times as long as ours of equal width in autoregressive, 1 at least"
    found = peers.claims({"peers": {"rows": [{"peer": "this runtime, int4"}, row]}})
    assert [(claim.text, claim.holds) for claim in found] == [(said, False)]


def test_torch_is_held_in_autoregressive_mode_alone() -> None:
    rows = [{"peer": "torch", "mode": mode, "times_ours": {"median": 3.97}} for mode in ("autoregressive", "diffusion")]
    found = peers.claims({"peers": {"rows": rows}})
    assert [claim.text for claim in found] == ["torch eager takes 3.97 times as long in autoregressive, 4 at least"]
