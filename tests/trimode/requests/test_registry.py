"""The operations by name: each that a request can ask for has its own way to start."""

from __future__ import annotations

from trimode.api.fields import Operation
from trimode.requests.registry import OPERATIONS


def test_every_operation_has_its_own_start() -> None:
    assert set(OPERATIONS) == set(Operation)
    assert len(set(OPERATIONS.values())) == len(OPERATIONS)
