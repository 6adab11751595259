"""Refusals are counted by face and type."""

from __future__ import annotations

from trimode.server.access.refusals import GRPC, HTTP, Refusals


def test_refusals_count_by_face_and_type() -> None:
    refusals = Refusals()
    for face in (HTTP, HTTP, GRPC):
        refusals.count(face, "too_large")
    assert refusals.counts() == {("http", "too_large"): 2, ("grpc", "too_large"): 1}
