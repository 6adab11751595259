"""What `trimode infill` and `trimode revise` have in common: statistics, and the flags of each."""

from __future__ import annotations

import pytest
from trimode_client.cli.knobs import given_knobs
from trimode_client.cli.main import parser
from trimode_client.knobs import KNOBS

from tests.support.command import run
from tests.support.edit_answers import FILLED, REVISED
from tests.support.fake_server import Script


@pytest.mark.parametrize("command", ["infill", "revise"])
def test_stats_go_to_standard_error(command: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(REVISED), command, code, "--stats")
    assert "diffusion: 3 tokens, 2 forwards" in capsys.readouterr().err


def test_stats_begin_a_line_of_their_own(left: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(Script(FILLED | {"text_output": "no end"}), "infill", left, "--whole", "--stats")
    assert capsys.readouterr().err.startswith("\ndiffusion: 3 tokens")
    run(Script(REVISED), "revise", code, "--stats")
    assert capsys.readouterr().err.startswith("diffusion: 3 tokens")


def flags(command: str) -> set[str]:
    """The knobs that a command has flags for."""
    return vars(parser().parse_args([command, "a"])).keys() & set(KNOBS)


def test_each_command_has_the_flags_of_its_own_operation() -> None:
    of_one = {name: flags(name) for name in ("generate", "infill", "revise")}
    assert {"infill_tokens", "infill_lengths"} <= of_one["infill"] - of_one["generate"] - of_one["revise"]
    assert {"spans"} <= of_one["revise"] - of_one["generate"] - of_one["infill"]
    assert {"instruction"} <= of_one["infill"] & of_one["revise"] - of_one["generate"]
    assert {"accept", "revise_rounds"} <= of_one["revise"] & of_one["generate"] - of_one["infill"]
    assert {"stop_words", "mode", "draft_adapter"} <= of_one["generate"] - of_one["infill"] - of_one["revise"]
    assert {"temperature", "seed", "denoise_steps"} <= of_one["generate"] & of_one["infill"] & of_one["revise"]


@pytest.mark.parametrize("command", ["infill", "revise"])
def test_a_flag_not_given_leaves_the_field_out(command: str) -> None:
    assert given_knobs(parser().parse_args([command, "a"])) == {}
