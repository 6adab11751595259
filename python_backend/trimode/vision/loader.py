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
from .sources import is_data, of_base64, of_url
from .until import Until

AT_ONCE = 2
"""Pictures that are decoded at once: one of the largest takes 350 MB meanwhile."""


@dataclass(frozen=True)
class Loaded:
    """One picture of a request: what the model reads of it, and its cells (across, down)."""

    encoded: Encoded
    cells: tuple[int, int]


class Loader:
    """Gets, prepares and encodes pictures.

    Attributes:
        facts: the tower's sizes, and the ids of a picture's places.
        turns: to decode one; there are AT_ONCE of them.
    """

    def __init__(self, encoder: Encoder, fetcher: Fetcher, limits: ImageLimits) -> None:
        self.facts = encoder.facts
        self._encoder, self._fetcher, self._limits = encoder, fetcher, limits
        self.turns = threading.Semaphore(AT_ONCE)

    @classmethod
    def allowing(cls, encoder: Encoder, domains: str) -> Loader:
        """Return one that may fetch from the hosts of a list; see AllowedHosts.of."""
        limits = ImageLimits()
        return cls(encoder, Fetcher(AllowedHosts.of(domains), limits.most_bytes), limits)

    def check(self, sources: Sequence[ImageSource]) -> None:
        """Check which hosts would be asked, without asking any.

        Raises:
            RequestError: bad_image_url; a URL cannot be read, or the operator did not name its host.
        """
        for one in sources:
            if one.kind == "url" and not is_data(one.value):
                self._fetcher.check(one.value, one.field)

    def load(self, sources: Sequence[ImageSource], max_image_size: int, until: Until) -> tuple[Loaded, ...]:
        """Return the pictures in order; blocks while they are fetched, decoded and encoded.

        Raises:
            RequestError: bad_image or bad_image_url; one cannot be had or read.
            EngineError: the tower failed.
            CancelledError, DeadlineError: see Until.check.
        """
        pictures = [self._prepared(one, max_image_size, until) for one in sources]
        encoded = self._encoder.encode(pictures, until) if pictures else []
        return tuple(Loaded(one, picture.cells) for one, picture in zip(encoded, pictures, strict=True))

    def _prepared(self, source: ImageSource, max_image_size: int, until: Until) -> Picture:
        until.check()
        if source.kind == "base64":
            data = of_base64(source.value, self._limits, source.field)
        else:
            data = of_url(source.value, self._limits, self._fetcher, source.field, until)
        with until.holding(self.turns):
            return prepare(data, max_image_size, limits=self._limits, field=source.field, until=until)
