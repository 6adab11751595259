"""Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}, with the status of their type.

The code is the error's own type, such as `unknown_field`, or OpenAI's word where clients look for one. Statuses are in
errors.ERROR_TYPES, as for every face.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ....api.fields import BY_NAME
from ....errors import ERROR_TYPES, RequestError, TrimodeError
from ...error_answer import retry_after, with_type

CODES = {"prompt_too_long": "context_length_exceeded", "not_found": "not_found"}
"""Codes that differ from the type of error."""
TOO_LONG = "; the request is longer than the model's context length (context_length_exceeded)"
"""Ends the message of that code: LangChain reads the word in the message alone, LiteLLM the words before it."""
FIELD = re.compile(r"([^\s,.\[]+)(?:\[\d+\]|\.\w+)*")
NAMES = {"text_input": "prompt", "input_ids": "prompt", "stop_words": "stop"}
"""What the fields of generate are called here."""


class FaceError(Exception):
    """An error on its way to a client: its type of ERROR_TYPES, its text, the field at fault and a code.

    Attributes:
        of_model: the model said so, and has counted it.
    """

    of_model = False

    def __init__(self, error_type: str, message: str, param: str | None = None, code: str | None = None) -> None:
        self.code = code or CODES.get(error_type, error_type)
        self.message = message + (TOO_LONG if self.code == CODES["prompt_too_long"] else "")
        super().__init__(self.message)
        self.error_type, self.param = error_type, param

    @property
    def status(self) -> int:
        """The HTTP status."""
        return ERROR_TYPES[self.error_type].http_status

    @property
    def kind(self) -> str:
        """OpenAI's name for errors of this kind."""
        if self.status == 401:
            return "authentication_error"
        if self.status == 429:
            return "rate_limit_error"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    def body(self) -> dict[str, Any]:
        """Return the JSON that clients get."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """Return when to try again, in the two headers that clients read, for an error that may pass."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        if self.status not in (429, 503):
            return {}
        seconds = retry_after(self.message)
        return {"Retry-After": str(seconds), "retry-after-ms": str(1000 * seconds)}


def no_model(name: str) -> FaceError:
    """Return the error for a model that is not served."""
    message = f"The model `{name[:128]}` does not exist; GET /v1/models lists those that do."
    return FaceError("not_found", message, "model", "model_not_found")


def refused(param: str, limit: str, given: object, error_type: str = "invalid_value", hint: str = "") -> FaceError:
    """Return the error for a field of this face; the text is made as for fields of generate."""
    return face_error(RequestError(param, limit, given, error_type=error_type, hint=hint), {})


def face_error(error: TrimodeError, names: Mapping[str, str] = NAMES) -> FaceError:
    """Return `error` for a client whose fields have these `names`."""
    if not isinstance(error, RequestError):
        return FaceError(error.error_type, str(error))
    if error.field == "the body" or "," in error.field:  # no field, or several
        return FaceError(error.error_type, str(error))
    return _of_field(error.error_type, str(error), error.field, names)


def error_in(text: str, names: Mapping[str, str] = NAMES) -> FaceError:
    """Return the error that a text `<error_type>: <message>` says; Triton's own words get a type.

    Whether the message begins with a field is seen from the field's name: the text of a RequestError does.
    """
    error_type, _, message = with_type(text).partition(": ")
    found = FIELD.match(message)
    if found is None or found[1] not in BY_NAME or ERROR_TYPES[error_type].outcome != "invalid":
        error = FaceError(error_type, message)
    else:
        error = _of_field(error_type, message, found[0], names)
    error.of_model = True
    return error


def _of_field(error_type: str, message: str, field: str, names: Mapping[str, str]) -> FaceError:
    """Return the error of a field that stands in front of the message, by the client's name for it."""
    name = re.split(r"[.\[]", field)[0]
    shown = names.get(name, name)
    return FaceError(error_type, shown + message[len(name) :], shown + field[len(name) :])
