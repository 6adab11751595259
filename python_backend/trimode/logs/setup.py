"""log_lines: where the log goes, in which form and from which level on. Knows Python's logging, and no requests."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

from ..errors import ConfigError
from .lines import FORMS
from .request_id import stamp

FORM_VARIABLE, LEVEL_VARIABLE = "TRIMODE_LOG_FORMAT", "TRIMODE_LOG_LEVEL"
DEFAULT_FORM, DEFAULT_LEVEL = "text", "info"
LEVELS = ("debug", "info", "warning", "error")
"""What may be asked for, the most talkative first."""
OURS = ("trimode", "trimode-serve", "tritonserver")
"""Loggers that have the level that was asked for; those of other packages say warnings and errors alone."""


serve_log = logging.getLogger("trimode-serve")
"""For what the server does as a whole, by the name of its command; all else is logged by the module that says it."""


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes lines; where one cannot be written, to a full disk say, serving goes on without it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave out a line that the file does not take; a line that cannot be made is a defect, which is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


@contextlib.contextmanager
def log_lines(form: str = DEFAULT_FORM, level: str = DEFAULT_LEVEL) -> Iterator[None]:
    """Let what is logged inside the block go to sys.stderr: lines of this form, of this level and above."""
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in OURS]
    before = [(logger, logger.level) for logger in (root, *ours)]
    handler = log_to(sys.stderr, form, level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for logger, number in before:
            logger.setLevel(number)
        logging.captureWarnings(False)


def log_to(file: TextIO, form: str, level: str) -> logging.Handler:
    """Let what is logged from now on go to `file`, and return the handler that writes it."""
    handler = LogHandler(file)
    handler.setFormatter(FORMS[form]())
    handler.addFilter(stamp)
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(max(number, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(True)
    return handler


def asked_for(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the form and the level that the environment names.

    Raises:
        ConfigError: one is none that there is.
    """
    return (
        _one_of(FORMS, FORM_VARIABLE, environment.get(FORM_VARIABLE, DEFAULT_FORM)),
        _one_of(LEVELS, LEVEL_VARIABLE, environment.get(LEVEL_VARIABLE, DEFAULT_LEVEL)),
    )


def _one_of(names: Mapping[str, object] | tuple[str, ...], variable: str, given: str) -> str:
    if given not in names:
        raise ConfigError(f"{variable} must be {' or '.join(names)}, got {given!r}")
    return given
