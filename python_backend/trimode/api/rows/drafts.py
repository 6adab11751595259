"""Where drafts come from: its rows of the table, and how they go together. Knows no tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from ...errors import Described, RequestError
from ..field import Field

FREE = ("prediction", "prompt_lookup")
"""The fields that ask for drafts which no pass makes."""

Speculation = Literal["linear", "quadratic"]
"""How self-speculation verifies a draft: in a pass of its own, or in the pass that makes the next draft."""

DRAFT_FIELDS: tuple[Field, ...] = (
    Field(
        "speculation",
        "string",
        "linear",
        "linear drafts and verifies in turn; quadratic in one pass of block_length * (block_length + 1) tokens.",
        choices=get_args(Speculation),
    ),
    Field("draft_adapter", "bool", "if there is one", "Self-speculation drafts with the checkpoint's draft adapter."),
    Field(
        "prediction",
        "string",
        "none",
        "A text expected as the answer: drafts are taken from it, and the answer stays the same.",
        empty_is_none=True,
    ),
    Field(
        "prompt_lookup",
        "bool",
        "false",
        "true drafts what followed the last tokens earlier in prompt or answer; no answer changes.",
    ),
)


def check_free_drafts(values: Mapping[str, Any]) -> None:
    """Check what free drafts do not go together with; `values` have the block's defaults.

    Raises:
        RequestError: quadratic speculation, whose passes make the next draft in any case; diffusion, which has no
            drafts; or a block without room for one.
    """
    name = next((one for one in FREE if values.get(one)), None)
    if name is None:
        return
    given = Described("a text") if name == "prediction" else values[name]
    if values["speculation"] != "linear":
        limit = "does not go together with speculation quadratic, whose passes all make the next draft"
        raise RequestError(name, limit, given, error_type="not_applicable")
    if values.get("auto_allow"):
        limit = "does not go together with auto_allow diffusion, which makes an answer without drafts"
        raise RequestError(name, limit, given, error_type="not_applicable")
    if values["block_length"] < 2:
        limit = "needs a block_length of at least 2, since a draft follows one token"
        raise RequestError(
            name, limit, Described(f"block_length {values['block_length']}"), error_type="not_applicable"
        )
