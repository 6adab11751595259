"""Rates: what one caller may ask for at most, as the options or a line of the keys' file say. Knows numbers alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from ...errors import ServeError

UNLIMITED_WORD = "none"  # in place of a number, for a key without a limit that others have


@dataclass(frozen=True)
class Rates:
    """Limits of one caller; None is no limit.

    Attributes:
        requests_per_minute: requests for answers that it may send within any minute.
        tokens_per_minute: tokens of prompts and answers within any minute, after which it has to wait.
        concurrent_requests: requests for answers that may run or wait at once.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None

    def with_words(self, words: Iterable[str], where: str) -> Rates:
        """Return these rates with those that `words` such as `requests_per_minute=60` name.

        Raises:
            ServeError: a word is none of them, or its value is no number from 1 on.
        """
        given: dict[str, int | None] = {}
        for word in words:
            name, _, value = word.partition("=")
            if name not in NAMES:
                raise ServeError(f"{where}: {name} is not a limit; those are {', '.join(NAMES)}")
            if value != UNLIMITED_WORD and not (value.isascii() and value.isdigit() and int(value) > 0):
                allowed = f"a whole number of at least 1, or {UNLIMITED_WORD}"
                raise ServeError(f"{where}: {name} must be {allowed}, got {value}")
            given[name] = None if value == UNLIMITED_WORD else int(value)
        return replace(self, **given)


NAMES = tuple(field.name for field in fields(Rates))
UNLIMITED = Rates()
