"""Loader: from the sources of a request's pictures to what the language model reads of them; any thread may call it.

Knows how bytes come and how they are prepared and encoded, and nothing of prompts.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ..api.rows.images import ImageSource
from .addresses import AllowedHosts
from .encoded import Encoded
from .encoder import Encoder
from .fetch import Fetcher
from .limits import ImageLimits
from .picture import Picture, prepare
from .sources import of_base64, of_url

AT_ONCE = 2
"""Pictures that are decoded at once: one of the largest takes 350 MB meanwhile."""


@dataclass(frozen=True)
class Loaded:
    """One picture of a request: what the model reads of it, and its cells (across, down)."""

    encoded: Encoded
    cells: tuple[int, int]


class Loader:
    """Gets, prepares and encodes pictures."""

    def __init__(self, encoder: Encoder, fetcher: Fetcher, limits: ImageLimits) -> None:
        self._encoder, self._fetcher, self._limits = encoder, fetcher, limits
        self._turns = threading.Semaphore(AT_ONCE)

    @classmethod
    def allowing(cls, encoder: Encoder, domains: str) -> Loader:
        """Return one that may fetch from the hosts of a list, separated by commas; from none where it is empty.

        Raises:
            ConfigError: an entry is no host.
        """
        hosts = AllowedHosts.of(name for name in domains.split(",") if name.strip())
        limits = ImageLimits()
        return cls(encoder, Fetcher(hosts, limits.most_bytes), limits)

    def load(self, sources: Sequence[ImageSource], max_image_size: int) -> tuple[Loaded, ...]:
        """Return the pictures in order; blocks while they are fetched, decoded and encoded.

        Raises:
            RequestError: bad_image or bad_image_url; one cannot be had or read.
            EngineError: the tower failed.
        """
        pictures = [self._prepared(one, max_image_size) for one in sources]
        encoded = self._encoder.encode(pictures) if pictures else []
        return tuple(Loaded(one, picture.cells) for one, picture in zip(encoded, pictures, strict=True))

    def _prepared(self, source: ImageSource, max_image_size: int) -> Picture:
        if source.kind == "base64":
            data = of_base64(source.value, self._limits, source.field)
        else:
            data = of_url(source.value, self._limits, self._fetcher, source.field)
        with self._turns:
            return prepare(data, max_image_size, limits=self._limits, field=source.field)
