"""The errors that TensorRT reports while it compiles or runs a plan, kept for the message of what failed.

The converter and the engine share it. Imports no TensorRT: its caller did.
"""

from __future__ import annotations

from typing import Any

KEPT = 16
"""Errors that are kept, the last ones: enough to show a cause, short enough for one message."""


def error_log(trt: Any) -> Any:
    """Return an ILogger of the module `trt` that prints nothing; `words()` returns the last errors and forgets them."""

    class ErrorLog(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors = [*self.errors, text][-KEPT:]

        def words(self) -> str:
            said, self.errors = "; ".join(self.errors) or "no reason given", []
            return said

    return ErrorLog()
