"""A few documents to draft."""

from __future__ import annotations

from random import Random

import pytest
from trimode_train.data.packing import Document
from trimode_train.model.config import EOS_ID


@pytest.fixture
def pool() -> list[Document]:
    rng = Random(1)
    return [
        Document([rng.randrange(128, 512) for _ in range(n - 1)] + [EOS_ID], start)
        for n, start in ((30, 12), (25, 5), (40, 20), (19, 3))
    ]
