"""fields_json: what the page knows of requests, from the tables that the server goes by. No fact of the model."""

from __future__ import annotations

import json
from typing import Any

from ... import __version__
from ...api.applicability import FIELDS_OF_MODES, NOT_OF_OPERATIONS, fields_of_others
from ...api.field import Field
from ...api.fields import FIELDS, Mode, Operation
from ...errors.table import ERROR_TYPES
from ...vision.limits import ImageLimits
from ...vision.picture_file import FORMATS


def fields_json(body_bytes: int) -> bytes:
    """Return the fields of a request, with their kinds, limits and help, and what to do about each type of error.

    What is read of pictures, where a model reads any, is there too, and `body_bytes`, the size of the largest body.
    """
    limits = ImageLimits()
    found = {
        "version": __version__,
        "fields": list(map(_shown, FIELDS)),
        "errors": {row.name: {"remedy": row.remedy} for row in ERROR_TYPES.values()},
        "pictures": {
            "formats": [name for name, *_ in FORMATS],
            "bytes": limits.most_bytes,
            "pixels": limits.most_pixels,
            "body_bytes": body_bytes,
        },
    }
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()


def _shown(field: Field) -> dict[str, Any]:
    """Return a field's row without what is empty, and which operations and modes have it."""
    row = {
        "name": field.name,
        "kind": field.kind,
        "default": field.default,
        "help": field.help,
        "low": field.low,
        "high": field.high,
        "choices": list(field.choices),
        "more_choices": field.more_choices or None,
        "operations": [each.value for each in Operation if _has(each, field.name)],
        "modes": [mode.value for mode in FIELDS_OF_MODES.get(field.name, tuple(Mode))],
    }
    return {key: value for key, value in row.items() if value is not None and value not in ("", [])}


def _has(operation: Operation, name: str) -> bool:
    return name not in NOT_OF_OPERATIONS.get(operation, ()) and name not in fields_of_others(operation)
