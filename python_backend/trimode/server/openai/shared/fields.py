"""Applies the table to one request: refuses by name, leaves out what has no effect, checks what is served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ....api.checks import check_field
from ....errors import RequestError
from .errors import face_error, refused
from .table import Endpoint, rows_of

ROWS = {endpoint: rows_of(endpoint) for endpoint in ("chat", "completions", "fim", "responses", "messages")}


@dataclass(frozen=True)
class Given:
    """The fields of one request that mean something.

    Attributes:
        served: those that the endpoint translates, checked as far as their rows say.
        knobs: those that go on to generate as they are.
    """

    served: dict[str, Any]
    knobs: dict[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a served field."""
        return self.served.get(name, default)


def sort_fields(endpoint: Endpoint, body: Mapping[str, Any]) -> Given:
    """Return what a request of `endpoint` gives; null is as if the field were not there.

    Raises:
        FaceError: a field that is unknown, that is refused, or whose value its row does not take.
    """
    rows = ROWS[endpoint]
    given = Given({}, {})
    for name, value in body.items():
        if value is None:
            continue
        row = rows.get(name)
        if row is None:
            near = get_close_matches(name, rows, n=1)
            hint = f"the nearest is {near[0]}" if near else ""
            raise refused(name, "is not a field of this endpoint", value, "unknown_field", hint)
        if row.treatment == "served":
            given.served[name] = row.check(name, value) if row.check else value
        elif row.treatment == "passed on":
            given.knobs[name] = _knob(name, value)
        elif row.treatment == "refused" and not any(_same(value, one) for one in row.neutral):
            allowed = " or ".join(["null", *(json.dumps(one) for one in row.neutral)])
            raise refused(name, f"must be {allowed} ({row.text.rstrip('.')})", value, "not_applicable")
    return given


def _knob(name: str, value: object) -> object:
    try:
        check_field(name, value, server_decides=True)
    except RequestError as exc:
        raise face_error(exc) from exc
    return value


def _same(value: object, neutral: object) -> bool:
    """Whether two JSON values are the same; 1 and true are not."""
    return type(value) is type(neutral) and value == neutral
