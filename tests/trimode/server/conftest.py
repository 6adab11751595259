"""What the server logs to inform is heard in its tests, as with `--log-level info`."""

from __future__ import annotations

import pytest
from trimode.logs.setup import serve_log


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", serve_log.name)
