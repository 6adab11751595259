"""Lines that tritonserver and its stubs write, as records of this process's log: one form for all.

The model's own lines come as JSON, whatever form was asked for, so that they are read back whole. Knows forms of lines,
and no process.
"""

from __future__ import annotations

import json
import logging
import re

from ...logs.lines import read_back

LOGGER = logging.getLogger("tritonserver")
TRITONS_LINE = re.compile(r"([VIWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ([^\]\s]+)\] (.*)", re.DOTALL)
"""Triton's default form: level and date, time, process, place in its code, text; 2.51 puts the text in quotes."""
ONNX_LINE = re.compile(r"(?:\x1b\[[\d;]*m)?\d{4}-\d\d-\d\d [\d:.]+ \[([VIWEF]):onnxruntime:[^\]]*\] (.*)", re.DOTALL)
"""ONNX Runtime's own form, which it colours."""
TABLE_LINE = re.compile(r"\+(-+\+)+|\| .* \|")
"""Of a table, such as that of its settings, which Triton logs to inform and writes without level, line by line."""
COLOUR = re.compile(r"\x1b\[[\d;]*m")
LEVELS = {
    "V": logging.DEBUG,
    "I": logging.INFO,
    "W": logging.WARNING,
    "E": logging.ERROR,
    "F": logging.CRITICAL,
}


def pass_on(line: bytes) -> None:
    """Log one line. What has no known form may be the last words of a process that died: every level shows it."""
    if (record := read_back(line)) is not None:
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
        return
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    if found := TRITONS_LINE.fullmatch(text):
        LOGGER.log(LEVELS[found[1]], "%s (%s)", _unquoted(found[3]), found[2])
    elif found := ONNX_LINE.fullmatch(text):
        LOGGER.log(LEVELS[found[1]], "%s", COLOUR.sub("", found[2]))
    elif TABLE_LINE.fullmatch(text):
        LOGGER.info("%s", text)
    elif text.strip():
        LOGGER.handle(LOGGER.makeRecord(LOGGER.name, logging.WARNING, "", 0, "%s", (text,), None))


def _unquoted(text: str) -> str:
    """Return the text of a line whose text stands in quotes, as JSON has them."""
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            pass
    return text
