"""Limits: numbers that a schema excludes, written so that the grammar library keeps them out. Knows no tokens.

The library (llguidance 1.9) lets the 0 of {"exclusiveMinimum": 0, "maximum": 0.25} through: a whole number that is
excluded, where both limits lie between it and the next one. Limits of several schemas may meet at one place, so each
excluded whole number is written as a limit right beside it.
"""

from __future__ import annotations

import math

from .schema_check import schemas_in

BESIDE = 1e-9
"""How far from the excluded number the limit is; where numbers lie further apart, it is the next one."""
LARGEST = 2**63
"""The library takes no whole number from here on."""


def write_limits(whole: object) -> None:
    """Change the limits of all schemas in `whole`; those of whole numbers alone are right as they are."""
    for _, _, schema in schemas_in(whole):
        if isinstance(schema, dict) and schema.get("type") != "integer":
            _write(schema, "exclusiveMinimum", "minimum", 1)
            _write(schema, "exclusiveMaximum", "maximum", -1)


def _write(schema: dict[str, object], name: str, included: str, sign: int) -> None:
    limit, other = schema.get(name), schema.get(included)
    if not isinstance(limit, int | float) or isinstance(limit, bool) or abs(limit) >= LARGEST:
        return
    if isinstance(limit, float) and not limit.is_integer():
        return
    beside = limit + sign * BESIDE
    while sign * beside <= sign * limit:
        beside = math.nextafter(beside, sign * math.inf)
    if isinstance(other, int | float) and sign * other > sign * beside:
        beside = other
    del schema[name]
    schema[included] = beside
