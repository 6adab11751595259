"""A request that a runtime refuses."""

from __future__ import annotations

import pytest
from trimode.errors import RequestError
from trimode.runtime import Runtime


def refused(runtime: Runtime, **given: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        runtime.generate(given)
    return caught.value
