"""The two forms of a line, and JSON that is read back."""

from __future__ import annotations

import json
import logging
import re
import sys

import pytest
from trimode.logs.lines import JsonLine, TextLine, line_of, read_back

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def record(text: str, *values: object, request: str = "", error: Exception | None = None) -> logging.LogRecord:
    made = logging.LogRecord("trimode.guard", logging.WARNING, "", 0, text, values, None)
    made.request_id = request
    if error is not None:
        try:
            raise error
        except Exception:
            made.exc_info = sys.exc_info()
    return made


def test_text_has_time_level_name_and_request() -> None:
    line = TextLine().format(record("%d were odd", 3, request="a1"))
    assert re.fullmatch(rf"{MOMENT} WARNING trimode\.guard \[a1\]: 3 were odd", line)


def test_text_without_a_request_names_none() -> None:
    assert re.fullmatch(rf"{MOMENT} WARNING trimode\.guard: odd", TextLine().format(record("odd")))


def test_a_quoted_text_makes_no_line_of_its_own() -> None:
    line = TextLine().format(record("refused: %r\n2026-01-01T00:00:00.000Z INFO forged\r\x1b[2J\u2028\tend", "é"))
    assert len(line.splitlines()) == 1 and "\x1b" not in line
    assert line.endswith(r"refused: 'é'\n2026-01-01T00:00:00.000Z INFO forged\r\x1b[2J\u2028" + "\tend")


def test_a_traceback_stands_below_its_line() -> None:
    first, *_, last = TextLine().format(record("failed", error=ValueError("why"))).splitlines()
    assert first.endswith("failed") and last == "ValueError: why"


def test_json_is_one_line_with_the_same_in_it() -> None:
    line = JsonLine().format(record("two\nlines é", request="a1", error=ValueError("why")))
    assert "\n" not in line
    found = json.loads(line)
    assert re.fullmatch(MOMENT, found.pop("time"))
    assert found.pop("exception").endswith("ValueError: why")
    assert found == {"level": "WARNING", "logger": "trimode.guard", "message": "two\nlines é", "request_id": "a1"}


def test_json_leaves_out_what_there_is_not() -> None:
    assert set(json.loads(JsonLine().format(record("odd")))) == {"time", "level", "logger", "message"}


@pytest.mark.parametrize("form", [TextLine, JsonLine])
def test_what_is_read_back_is_what_was_written(form: type[logging.Formatter]) -> None:
    before = record("100 %% of %s", "it", request="a1", error=ValueError("why"))
    again = read_back(JsonLine().format(before).encode())
    assert again is not None
    before.created = again.created  # which JSON has to the millisecond
    assert form().format(again) == form().format(before)


@pytest.mark.parametrize(
    "line", [b"", b"text", b'{"time":', b'{"time":"x","level":"INFO"}', b'{"time":"2026-01-31T12:00:00Z"}', b'{"a":1}']
)
def test_another_line_is_none(line: bytes) -> None:
    assert read_back(line) is None


def test_a_line_past_the_loggers_has_the_form() -> None:
    found = json.loads(line_of(JsonLine(), logging.WARNING, "trimode-serve", "3 lines"))
    assert (found["level"], found["logger"], found["message"]) == ("WARNING", "trimode-serve", "3 lines")


@pytest.mark.parametrize("key", ["level", "logger", "message"])
def test_a_line_whose_values_are_no_texts_is_another_line(key: str) -> None:
    found = json.loads(JsonLine().format(record("odd")))
    assert read_back(json.dumps({**found, key: 3}, separators=(",", ":")).encode()) is None
