"""The table of error types: what has to hold between the columns of a row."""

from __future__ import annotations

import pytest
from trimode.errors.table import ERROR_TYPES, ErrorType


@pytest.mark.parametrize("row", ERROR_TYPES.values(), ids=list(ERROR_TYPES))
def test_a_caller_s_fault_is_a_status_of_the_4xx_and_ours_of_the_5xx(row: ErrorType) -> None:
    """But for HTTP that is not spoken here, which counts as the server's, and a caller's own limits, which pass."""
    if row.name in ("unsupported_version", "rate_limited"):
        return
    assert (row.http_status >= 500) == (row.outcome in ("overloaded", "deadline", "error"))
    assert row.meaning.endswith(".") and row.remedy.endswith(".")


def test_what_is_the_caller_s_fault_is_not_to_be_sent_again() -> None:
    assert [row.name for row in ERROR_TYPES.values() if row.retryable and row.outcome == "invalid"] == []
