"""The two fields of a guide: what goes together, and what follows from them."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.api.guide import GUIDE_FIELDS, GUIDE_TYPES, resolve_guide
from trimode.errors import RequestError

TYPE, GUIDE, SCOPE, COMPACT = (field.name for field in GUIDE_FIELDS)


@pytest.mark.parametrize(
    ("given", "field", "limit"),
    [
        ({GUIDE: "a+"}, GUIDE, "needs guided_decoding_guide_type"),
        ({SCOPE: "whole"}, SCOPE, "needs guided_decoding_guide_type"),
        ({TYPE: "regex"}, TYPE, "needs guided_decoding_guide unless it is json"),
        ({TYPE: "json", GUIDE: "{}"}, GUIDE, "does not apply to guided_decoding_guide_type json"),
        ({COMPACT: True}, COMPACT, "needs guided_decoding_guide_type json or json_schema"),
        ({TYPE: "regex", GUIDE: "a", COMPACT: True}, COMPACT, "needs guided_decoding_guide_type json or json_schema"),
        ({TYPE: "json", "enable_thinking": True, "end_think_token_id": None}, TYPE, "needs end_think_token_id"),
        ({TYPE: "json", "max_thinking_tokens": 3, "end_think_token_id": None}, TYPE, "needs end_think_token_id"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], field: str, limit: str) -> None:
    with pytest.raises(RequestError) as caught:
        resolve_guide(given)
    assert caught.value.field == field
    assert caught.value.limit.startswith(limit)


@pytest.mark.parametrize("kind", GUIDE_TYPES)
def test_a_guided_answer_is_decided_from_the_left(kind: str) -> None:
    values: dict[str, Any] = {TYPE: kind, "reveal": "entropy"}
    resolve_guide(values if kind == "json" else values | {GUIDE: "x"})
    given = values if kind == "json" else {**values, GUIDE: "x"}
    resolve_guide(given)
    assert given["reveal"] == "leftmost"


def test_a_gap_matches_by_itself_unless_the_whole_text_is_meant() -> None:
    for given in ({"suffix": "b"}, {"segments": ["a", None]}):
        values: dict[str, Any] = {TYPE: "json", **given}
        resolve_guide(values)
        assert values[SCOPE] == "gap"
    answer: dict[str, Any] = {TYPE: "json"}
    resolve_guide(answer)
    assert SCOPE not in answer


def test_a_free_answer_keeps_its_rule() -> None:
    values: dict[str, Any] = {"reveal": "entropy"}
    resolve_guide(values)
    assert values == {"reveal": "entropy"}
