"""The options that the server takes, and what they refuse by name, limit and value before anything is started."""

from __future__ import annotations

import pytest
from trimode.server.launch.options import parser


def refusal(capsys: pytest.CaptureFixture[str], *given: str) -> str:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(given)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("option", ["--silence", "--canary-timeout", "--ready-timeout", "--exit-timeout"])
@pytest.mark.parametrize("time", ["-1", "nan", "inf", "86401", "soon", ""])
def test_a_time_that_cannot_be_is_refused(option: str, time: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = refusal(capsys, option, time)
    assert f"argument {option}: must be " in text
    assert f"86400, got {time}" in text


@pytest.mark.parametrize("option", ["--silence", "--canary-timeout", "--ready-timeout"])
def test_only_the_time_to_finish_may_be_none_at_all(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"argument {option}: must be " in refusal(capsys, option, "0")
    assert parser().parse_args(["--exit-timeout", "0"]).exit_timeout == 0


@pytest.mark.parametrize("option", ["--http-port", "--grpc-port", "--metrics-port"])
@pytest.mark.parametrize("port", ["-1", "65536", "80.5", "http"])
def test_a_number_that_is_no_port_is_refused(option: str, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = refusal(capsys, option, port)
    assert f"argument {option}: must be a whole number from 0 to 65535, got {port}" in text


@pytest.mark.parametrize("number", ["0", "-3", "2.5", "many"])
def test_a_number_of_connections_that_cannot_be_is_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = refusal(capsys, "--max-connections", number)
    assert f"argument --max-connections: must be a whole number of at least 1, got {number}" in text


@pytest.mark.parametrize(("option", "most"), [("--max-body-mib", 2047), ("--max-bodies-mib", 1048576)])
@pytest.mark.parametrize("size", ["0", "-1", "nan", "inf", "1048577", "many"])
def test_a_size_that_cannot_be_is_refused(
    option: str, most: int, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = refusal(capsys, option, size)
    assert f"argument {option}: must be above 0 and at most {most}, got {size}" in text
