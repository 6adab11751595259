"""ImageLimits: how much a picture may cost before anything is spent on it. Knows nothing of requests."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class ImageLimits:
    """What a server takes of one picture.

    Attributes:
        most_bytes: of its file, 20 MiB by default: a photograph of 50 megapixels as JPEG has 10 to 20.
        most_pixels: width times height, by its header, before it is decoded. 50 million by default, which take up to
            350 MB while they are decoded; a small file can claim billions.
    """

    most_bytes: int = 20 * MIB
    most_pixels: int = 50_000_000
