"""What is raised about a grammar that is not taken. Knows nothing of grammars."""

from __future__ import annotations

from ..errors import Described, RequestError

FIELD = "guided_decoding_guide"
"""The request's field that holds a grammar."""


def bad_grammar(limit: str, found: str) -> RequestError:
    """Return the error: what must hold, and what was found instead."""
    return RequestError(FIELD, limit, Described(found), error_type="bad_grammar")
