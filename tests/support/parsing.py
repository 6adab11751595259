"""Requests parsed with the defaults of a small checkpoint, and the errors of those that cannot be."""

from __future__ import annotations

import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.errors import RequestError

from tests.support.toy import EFFORTS

DEFAULTS = Defaults(vocab_size=100, block_length=8, end_id=7, end_think_token_id=9, effort=EFFORTS, most_images=2)


def parse(given: dict[str, object] | None = None, **more: object) -> GenerationParams:
    return GenerationParams.parse({"text_input": "hi", **(given or {}), **more}, DEFAULTS)


def unparsed(given: dict[str, object], defaults: Defaults = DEFAULTS) -> RequestError:
    with pytest.raises(RequestError) as caught:
        GenerationParams.parse(given, defaults)
    return caught.value
