"""Who may ask: API keys, from the command line and from a file that is read again when it changes.

Both faces of the server ask here. A key is compared by its SHA-256 in constant time, and only its name is ever logged.
Knows nothing of HTTP or gRPC but the two headers that carry keys.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import Refusal, ServeError
from ...logs.setup import serve_log
from .file_state import file_state
from .rates import NAMES, UNLIMITED, UNLIMITED_WORD, Rates

AUTHORIZATION, API_KEY = "authorization", "x-api-key"
"""The HTTP headers and gRPC metadata keys that carry a key: the first behind the word Bearer."""
BEARER = "bearer "
LOOK_SECONDS = 1.0  # between two looks at the file's state
SHOWN_DIGITS = 8  # of a key's SHA-256, which name a key without a name
LIMIT = re.compile(rf"({'|'.join(NAMES)})=.*|[a-z_]+=([0-9]+|{UNLIMITED_WORD})")
"""A limit behind a key, or what is meant as one; keys look otherwise, so that no error repeats one."""
LEAST_CHARACTERS = 16  # of a key: shorter ones can be guessed


@dataclass(frozen=True)
class Key:
    """A key's name, the SHA-256 of its text, and what its callers may ask for."""

    name: str
    digest: bytes
    rates: Rates = UNLIMITED

    @classmethod
    def of(cls, text: str, where: str, usual: Rates = UNLIMITED) -> Key:
        """Read `KEY` or `NAME KEY`, and limits behind it such as `requests_per_minute=60`; others are as `usual`.

        Raises:
            ServeError: it is neither, the key is short, or a limit is none.
        """
        words = text.split()
        limits = [word for word in words[1:] if LIMIT.fullmatch(word)]
        *names, secret = [word for word in words if word not in limits] or [""]
        if len(names) > 1:
            raise ServeError(f"{where} must hold a key, or a name and a key, and limits behind it")
        if len(secret) < LEAST_CHARACTERS:
            raise ServeError(f"{where} holds a key of {len(secret)} characters, at least {LEAST_CHARACTERS} are needed")
        digest = hashlib.sha256(secret.encode()).digest()
        name = names[0] if names else f"key-{digest.hex()[:SHOWN_DIGITS]}"
        return cls(name, digest, usual.with_words(limits, where))


class Access:
    """Lets callers in by their keys; without any keys it lets everybody in."""

    def __init__(
        self,
        keys: Sequence[str] = (),
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        usual: Rates = UNLIMITED,
    ) -> None:
        """Read the keys; `usual` are the limits of those that have none of their own, and of addresses.

        Raises:
            ServeError: a key is no key, or the file cannot be read or has none.
        """
        self._usual = usual
        self._given = tuple(Key.of(text, "--api-key", usual) for text in keys)
        self._file = file
        self._clock = clock
        self._looked = clock()
        self._state = file and file_state(file)
        self._keys = self._given if file is None else (*self._given, *_read(file, usual))

    @property
    def closed(self) -> bool:
        """Whether callers need a key."""
        return bool(self._keys)

    def names(self) -> list[str]:
        """Return the names of the keys that count now."""
        self._look()
        return [key.name for key in self._keys]

    def admit(self, authorization: str | None, api_key: str | None) -> str | None:
        """Return the name of the caller's key; None where no key is needed.

        Args:
            authorization, api_key: the caller's headers of these names.

        Raises:
            Refusal: there is no key, or it is not one of ours.
        """
        if not self.closed:
            return None
        self._look()
        secret = api_key
        if authorization is not None and authorization[: len(BEARER)].lower() == BEARER:
            secret = authorization[len(BEARER) :].strip()
        if not secret:
            raise Refusal("unauthorized", "this server needs an API key, as `Authorization: Bearer KEY` or `x-api-key`")
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        found = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        if not found:
            raise Refusal("unauthorized", "the API key is not one of this server's")
        return found[0].name

    def rates_of(self, name: str | None) -> Rates:
        """Return what a key of this name may ask for, or, without one, an address."""
        found = (key.rates for key in self._keys if key.name == name)
        return next(found, self._usual)

    def _look(self) -> None:
        """Read the file again if it has changed; one that cannot be read leaves the keys as they are."""
        if self._file is None or self._clock() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._clock()
        state = file_state(self._file)
        if state == self._state:
            return
        self._state = state
        try:
            self._keys = (*self._given, *_read(self._file, self._usual))
        except ServeError as exc:
            serve_log.warning("%s; the former keys stay", exc)
            return
        serve_log.info("%d API keys: %s", len(self._keys), ", ".join(key.name for key in self._keys))


def _read(file: Path, usual: Rates) -> list[Key]:
    """Return the keys of a file, one a line; empty lines and those that begin with # are none.

    Raises:
        ServeError: it cannot be read, or has no keys.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ServeError(f"--api-key-file {file} cannot be read: {exc}") from exc
    texts = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    keys = [Key.of(text, f"{file}:{number}", usual) for number, text in texts if text and not text.startswith("#")]
    if not keys:
        raise ServeError(f"--api-key-file {file} holds no key")
    return keys


OPEN = Access()
"""Lets everybody in."""
