"""The form of what is logged."""

from __future__ import annotations

import logging
import re

import pytest
from trimode.server.launch.log_lines import log_lines
from trimode.server.process import log

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_every_line_has_its_time_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    with log_lines():
        logging.getLogger("trimode.server.guard").warning("request %s was odd", "a1")
        log("loading nano")
    logging.getLogger("trimode.server.guard").warning("outside")
    first, second = capsys.readouterr().err.splitlines()[:2]
    assert re.fullmatch(rf"{MOMENT} WARNING trimode\.server\.guard: request a1 was odd", first)
    assert re.fullmatch(rf"{MOMENT} INFO trimode-serve: loading nano", second)
