"""Where the log goes, and from which level on."""

from __future__ import annotations

import io
import json
import logging
import warnings

import pytest
from trimode.errors import ConfigError
from trimode.logs.request_id import working_for
from trimode.logs.setup import LogHandler, asked_for, log_lines, serve_log


def test_every_line_has_one_form_and_its_request(capsys: pytest.CaptureFixture[str]) -> None:
    with log_lines("json"), working_for("a1"):
        logging.getLogger("trimode.server.guard").warning("request %s was odd", 3)
        serve_log.info("loading nano")
    logging.getLogger("trimode.server.guard").warning("outside")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines()[:2])
    assert (first["logger"], first["message"], first["request_id"]) == (
        "trimode.server.guard",
        "request 3 was odd",
        "a1",
    )
    assert (second["logger"], second["message"]) == ("trimode-serve", "loading nano")


@pytest.mark.parametrize(("level", "said"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_lines_below_the_level_are_left_out(level: str, said: int, capsys: pytest.CaptureFixture[str]) -> None:
    with log_lines("text", level):
        for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger("trimode.x").log(number, "said")
    assert capsys.readouterr().err.count("said") == said


def test_other_packages_say_warnings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with log_lines("text", "debug"):
        logging.getLogger("aiohttp.access").info("a visit")
        logging.getLogger("aiohttp.server").warning("a fault")
    assert [line.split(": ")[-1] for line in capsys.readouterr().err.splitlines()] == ["a fault"]


@pytest.mark.filterwarnings("default")
def test_warnings_of_python_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    with log_lines("json"):
        warnings.warn("old", UserWarning, stacklevel=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["logger"] == "py.warnings"


def test_the_environment_says_form_and_level() -> None:
    assert asked_for({}) == ("text", "info")
    assert asked_for({"TRIMODE_LOG_FORMAT": "json", "TRIMODE_LOG_LEVEL": "debug"}) == ("json", "debug")


class Full(io.StringIO):
    """A disk without room."""

    def write(self, text: str) -> int:
        raise OSError("no space left")


def test_a_line_that_cannot_be_written_is_left_out_and_one_that_cannot_be_made_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = logging.LogRecord("trimode.x", logging.WARNING, "", 0, "a line", None, None)
    LogHandler(Full()).handle(said)
    assert capsys.readouterr().err == ""
    said.args = ("no place for it",)
    LogHandler(io.StringIO()).handle(said)
    assert "not all arguments converted" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["TRIMODE_LOG_FORMAT", "TRIMODE_LOG_LEVEL"])
def test_what_there_is_not_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} must be .*, got 'xml'"):
        asked_for({name: "xml"})
