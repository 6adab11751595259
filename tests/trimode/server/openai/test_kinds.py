"""Numbers of OpenAI's API: in their range, whatever JSON can hold."""

from __future__ import annotations

import pytest
from trimode.server.openai.shared.errors import FaceError
from trimode.server.openai.shared.kinds import number


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), float("inf"), -0.1, 2.1])
def test_a_number_out_of_its_range_is_refused_though_it_be_too_large_for_a_float(value: float) -> None:
    with pytest.raises(FaceError, match="must be between 0 and 2"):
        number(0.0, 2.0)("temperature", value)


def test_an_integer_in_the_range_is_a_number() -> None:
    assert number(0.0, 2.0)("temperature", 2) == 2.0
