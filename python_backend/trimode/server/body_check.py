"""Checks the JSON body of generate and generate_stream before Triton sees it.

Triton 2.51 cuts integers to 32 bits, lets NaN and invalid UTF-8 through, and turns unknown keys into parameters.
Knows JSON; the rules of each field are api/checks.py's, and none is repeated here. The model alone knows its reveal
rules, and refuses others.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from ..api.checks import check_field
from ..api.fields import BY_NAME
from ..api.tensors import CALLER, ID, LOG_ID, TAG, TOKEN_RATE, TRACE
from ..errors import RequestError
from ..logs.request_id import current_id, suggest
from .access.turnstile import Visit
from .serving import check_id


def check_body(body: bytes, tag: str, visit: Visit, *, streaming: bool) -> bytes:
    """Return the body to send on to Triton: the same request, its tag and caller, no nulls, messages as a string.

    Raises:
        RequestError: not UTF-8, not JSON, not an object, a key given twice, an unknown field, or a value that its
            field does not take.
    """
    return check_request(read_object(body), tag, visit, streaming=streaming)


def check_request(request: dict[str, Any], tag: str, visit: Visit, *, streaming: bool) -> bytes:
    """Return what Triton gets for `request`, which may be changed: see check_body.

    Raises:
        RequestError: an unknown field, or a value that its field does not take.
    """
    parameters = request.pop("parameters", None)
    parameters = {} if parameters is None else _object("parameters", parameters)
    request_id = request.pop(ID, None)
    given: dict[str, Any] = {}
    for name, value in (*request.items(), *parameters.items()):
        if value is None and name in BY_NAME:
            continue  # null means not given, but only for a field: an unknown name is still an error
        if name in given:
            raise RequestError(name, "must be given once", value, error_type="given_twice")
        if check_field(name, value, server_decides=True) is not None:
            given[name] = value
    if given.get("stream") and not streaming:
        raise RequestError("stream", "needs generate_stream; generate answers once", True, error_type="not_applicable")
    for name, value in given.items():
        if BY_NAME[name].kind in ("json", "object") and not isinstance(value, str):
            given[name] = json.dumps(value, ensure_ascii=False)  # a text's limit counts characters, not escapes
    if request_id is not None:
        check_id(request_id)
        suggest(request_id)
    logged = {LOG_ID: name} if (name := current_id()) else {}
    own = {} if request_id is None else {ID: request_id}
    traced = {TRACE: visit.traceparent} if visit.span is not None else {}
    rate = {} if visit.token_rate is None else {TOKEN_RATE: visit.token_rate}
    return json.dumps({**given, **own, **rate, **logged, **traced, TAG: tag, CALLER: visit.caller}).encode("ascii")


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body holds.

    Raises:
        RequestError: not UTF-8, not JSON, not an object, or a key given twice.
    """
    return _object("the body", _parse(body))


def _parse(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_each_key_once)
    except UnicodeDecodeError as exc:
        raise RequestError("the body", "must be valid UTF-8", body[:40], error_type="bad_utf8") from exc
    except (ValueError, RecursionError) as exc:
        raise RequestError("the body", f"must be valid JSON ({exc})", body[:40], error_type="bad_json") from exc


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _each_key_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise RequestError("the body", "must hold each key of an object once", key, error_type="bad_json")
            seen.add(key)
    return found


def _object(what: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(what, "must be a JSON object", value, error_type="wrong_type")
    return value
