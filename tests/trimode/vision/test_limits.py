"""What a server takes of one picture."""

from __future__ import annotations

from trimode.vision.limits import MIB, ImageLimits


def test_a_photograph_of_a_camera_passes_and_a_bomb_does_not() -> None:
    limits = ImageLimits()
    assert limits.most_bytes == 20 * MIB
    assert 8000 * 6000 < limits.most_pixels < 10_000 * 10_000
