"""The free drafts of a request: from its fields to where drafts come from. Knows nothing of how a mode decodes."""

from __future__ import annotations

from ..api.params import GenerationParams
from ..decoding.free_drafts.drafts import FreeDrafts
from ..errors import Described, RequestError
from .services import Services


def free_drafts_of(params: GenerationParams, prompt: list[int], services: Services) -> FreeDrafts | None:
    """Return where free drafts come from; None where the request asks for none.

    Raises:
        RequestError: the prediction is longer than any answer can be, or there is no tokenizer for it.
    """
    block = params.block
    if not block.prediction and not block.prompt_lookup:
        return None
    return FreeDrafts(
        prompt,
        max_tokens=params.max_tokens,
        longest=block.block_length,
        prediction=_ids(block.prediction, services) if block.prediction else (),
        prompt_lookup=block.prompt_lookup,
    )


def _ids(text: str, services: Services) -> list[int]:
    """Return the ids of a prediction; special tokens in it count as such, since an answer may have some."""
    tokenizer = services.tokenizer_for("prediction")
    limit = f"must fit the capacity of {services.capacity} tokens, since no answer can be longer"
    if not tokenizer.fits(text, services.capacity):
        raise RequestError("prediction", limit, Described(f"{len(text)} characters"))
    ids = tokenizer.encode(text, field="prediction")
    if len(ids) > services.capacity:
        raise RequestError("prediction", limit, Described(f"{len(ids)} tokens"))
    return ids
