"""What the page knows of requests is what the server's tables say, and nothing of the model."""

from __future__ import annotations

import json
from typing import Any

from trimode.api.applicability import FIELDS_OF_MODES
from trimode.api.fields import BY_NAME, FIELDS
from trimode.errors.table import ERROR_TYPES
from trimode.server.playground.fields import fields_json
from trimode.vision.limits import ImageLimits

BODY_BYTES = 2**20
FOUND: dict[str, Any] = json.loads(fields_json(BODY_BYTES))
ROWS = {row["name"]: row for row in FOUND["fields"]}


def test_every_field_is_there_with_its_kind_limits_and_help() -> None:
    assert list(ROWS) == [field.name for field in FIELDS]
    for name, row in ROWS.items():
        field = BY_NAME[name]
        assert (row["kind"], row["help"]) == (field.kind, field.help)
        assert (row.get("low"), row.get("high")) == (field.low, field.high)
        assert tuple(row.get("choices", ())) == field.choices


def test_a_field_says_which_operations_and_modes_have_it() -> None:
    assert ROWS["spans"]["operations"] == ["revise"]
    assert ROWS["suffix"]["operations"] == ["infill"]
    assert ROWS["stop_words"]["operations"] == ["generate"]
    assert ROWS["effort"]["modes"] == ["diffusion"]
    assert all(row["operations"] for row in ROWS.values())
    assert all(ROWS[name]["modes"] == list(modes) for name, modes in FIELDS_OF_MODES.items())


def test_every_error_says_what_to_do() -> None:
    assert FOUND["errors"] == {name: {"remedy": row.remedy} for name, row in ERROR_TYPES.items()}


def test_what_is_read_of_pictures_is_there() -> None:
    limits = ImageLimits()
    assert FOUND["pictures"] == {
        "formats": ["PNG", "JPEG", "WebP", "GIF"],
        "bytes": limits.most_bytes,
        "pixels": limits.most_pixels,
        "body_bytes": BODY_BYTES,
    }


def test_there_is_nothing_else() -> None:
    assert set(FOUND) == {"version", "fields", "errors", "pictures"}
