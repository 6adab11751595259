"""The two forms of a line: text for people, JSON for collectors. JSON can be read back into the record that it was."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

from .request_id import FIELD

TIME, LEVEL, LOGGER, MESSAGE, EXCEPTION = "time", "level", "logger", "message", "exception"
"""Keys of a line in JSON, with FIELD; EXCEPTION and FIELD are there only where there is one."""
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
"""What would end a line or steer a terminal; a tab does neither."""
HEAD = b'{"time":'  # of a line in JSON


def moment(seconds: float) -> str:
    """Return seconds since 1970 as `2026-01-31T12:00:00.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextLine(logging.Formatter):
    """Writes `2026-01-31T12:00:00.000Z WARNING name [request id]: text`, and a traceback below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(shown_id)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return when it was."""
        return moment(record.created)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without a traceback: one line, whatever a caller put into what is quoted in it."""
        request = getattr(record, FIELD, "")
        record.shown_id = f" [{request}]" if request else ""
        record.message = CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), record.message)
        return super().formatMessage(record)


class JsonLine(logging.Formatter):
    """Writes one JSON object a line, a traceback as one of its values."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            TIME: moment(record.created),
            LEVEL: record.levelname,
            LOGGER: record.name,
            MESSAGE: record.getMessage(),
        }
        if request := getattr(record, FIELD, ""):
            line[FIELD] = request
        exception = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")
        if exception:
            line[EXCEPTION] = exception
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def line_of(formatter: logging.Formatter, level: int, name: str, text: str) -> bytes:
    """Return the line that says `text` now, for whoever writes past the loggers."""
    record = logging.LogRecord(name, level, "", 0, text, None, None)
    return f"{formatter.format(record)}\n".encode("utf-8", "backslashreplace")


FORMS: dict[str, type[logging.Formatter]] = {"text": TextLine, "json": JsonLine}
"""The forms by the names that `--log-format` takes."""


def read_back(line: bytes) -> logging.LogRecord | None:
    """Return the record that a JsonLine wrote as `line`; None if it is another line."""
    if not line.startswith(HEAD):
        return None
    try:
        found = json.loads(line)
        if not all(isinstance(found[key], str) for key in (LEVEL, LOGGER, MESSAGE)):
            return None
        return logging.makeLogRecord(
            {
                "created": datetime.fromisoformat(found[TIME]).timestamp(),
                "levelname": found[LEVEL],
                "levelno": logging.getLevelNamesMapping()[found[LEVEL]],
                "name": found[LOGGER],
                "msg": found[MESSAGE],
                FIELD: found.get(FIELD, ""),
                "exc_text": found.get(EXCEPTION),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError):  # cut short, or mixed with another line
        return None
