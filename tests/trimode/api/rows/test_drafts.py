"""Which requests may ask for free drafts, and why others may not."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.api.checks import check_field
from trimode.api.defaults import Defaults
from trimode.api.fields import Mode
from trimode.api.params import GenerationParams
from trimode.api.rows.drafts import FREE
from trimode.errors import RequestError

CAUSAL = (Mode.AUTO, Mode.AUTOREGRESSIVE)
ASKING: dict[str, Any] = {"prediction": "a text", "prompt_lookup": True}


def parse(modes: tuple[Mode, ...] = tuple(Mode), **given: Any) -> GenerationParams:
    return GenerationParams.parse({"input_ids": [3], **given}, Defaults(99, 8, 1, modes=modes))


@pytest.mark.parametrize("modes", [tuple(Mode), CAUSAL])
@pytest.mark.parametrize("mode", [None, "auto", "autoregressive", "self_speculation"])
def test_they_go_with_every_mode_that_verifies(mode: str | None, modes: tuple[Mode, ...]) -> None:
    if mode == "self_speculation" and modes == CAUSAL:
        return
    params = parse(modes, **ASKING, **({"mode": mode} if mode else {}))
    assert (params.block.prediction, params.block.prompt_lookup) == ("a text", True)
    assert params.mode == (mode or "auto")


def test_without_them_nothing_is_asked_for() -> None:
    block = parse().block
    assert (block.prediction, block.prompt_lookup) == ("", False)
    assert check_field("prediction", "") is None


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"mode": "diffusion"}, "applies to mode autoregressive or self_speculation or auto, not diffusion"),
        ({"effort": 0.5, "mode": "diffusion"}, "not diffusion"),
        ({"mode": "self_speculation", "speculation": "quadratic"}, "speculation quadratic"),
        ({"auto_allow": ["diffusion"]}, "auto_allow diffusion"),
        ({"block_length": 1}, "block_length of at least 2"),
        ({"suffix": " end", "input_ids": None, "text_input": "a"}, "does not apply to filling gaps"),
        ({"text": "a text", "input_ids": None}, "does not apply to revising a text"),
    ],
)
def test_what_has_no_use_for_them_is_refused_by_name(name: str, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as refused:
        parse(**{name: ASKING[name], **more})
    assert (refused.value.field, refused.value.error_type) == (name, "not_applicable")


def test_the_values_used_do_not_show_the_text() -> None:
    echo = parse(**ASKING).echo()
    assert echo["prompt_lookup"] is True and "prediction" not in echo
    assert "prompt_lookup" not in parse(mode="diffusion").echo()
