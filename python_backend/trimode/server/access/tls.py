"""ServerTls: the certificates that both faces show, read again when their files change.

A new connection gets the newest certificates that could be read; one that runs keeps its own. Knows files, and what
asyncio takes; nothing of callers.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ServeError
from ...logs.setup import serve_log
from .file_state import file_state

LOOK_SECONDS = 1.0  # between two looks at the files' state
NOT_ASKED, OPTIONAL, REQUIRED = int(ssl.CERT_NONE), int(ssl.CERT_OPTIONAL), int(ssl.CERT_REQUIRED)
CERT_REQS = (NOT_ASKED, OPTIONAL, REQUIRED)
"""What `--ssl-cert-reqs` takes, in Python's numbers, as uvicorn and vLLM do."""
SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # the machine is short of something, and may have it soon
HTTP_1, HTTP_2 = ["http/1.1"], ["h2"]  # what HTTP's face and gRPC's speak, as TLS names them


class NotNowError(ServeError):
    """The machine cannot read certificates now, whatever the files hold."""


@dataclass(frozen=True)
class TlsFiles:
    """What `--ssl-certfile`, `--ssl-keyfile`, `--ssl-ca-certs` and `--ssl-cert-reqs` name.

    Attributes:
        cert: the server's certificate and those between it and its authority, in PEM format.
        key: its key, without a password; None where `cert` holds it too.
        authorities: those that callers' certificates may come from; None where callers are asked for none.
        optional: whether callers may do without a certificate; one that they show must come from these authorities.
    """

    cert: Path
    key: Path | None = None
    authorities: Path | None = None
    optional: bool = False

    @classmethod
    def of(cls, cert: Path | None, key: Path | None, authorities: Path | None, reqs: int) -> TlsFiles | None:
        """Read the four options; None without any.

        Raises:
            ServeError: they contradict each other.
        """
        if cert is None:
            for option, given in (("--ssl-keyfile", key), ("--ssl-ca-certs", authorities), ("--ssl-cert-reqs", reqs)):
                if given:
                    raise ServeError(f"{option} {given} needs --ssl-certfile, the server's certificate")
            return None
        if (authorities is None) != (reqs == NOT_ASKED):
            raise ServeError(
                f"--ssl-ca-certs and --ssl-cert-reqs {OPTIONAL} or {REQUIRED} need each other: the first says whose "
                f"certificates count, the second whether callers need one; got --ssl-ca-certs {authorities}, "
                f"--ssl-cert-reqs {reqs}"
            )
        return cls(cert, key, authorities, reqs == OPTIONAL)

    @property
    def named(self) -> dict[str, Path]:
        """The files by their options."""
        found = {"--ssl-certfile": self.cert, "--ssl-keyfile": self.key, "--ssl-ca-certs": self.authorities}
        return {option: path for option, path in found.items() if path is not None}


@dataclass(frozen=True)
class Certificates:
    """What the files held at one moment; checked.

    Attributes:
        http, grpc: for each face.
    """

    http: ssl.SSLContext
    grpc: ssl.SSLContext

    @classmethod
    def read(cls, files: TlsFiles) -> Certificates:
        """Read the files.

        Raises:
            ServeError: one cannot be read or does not hold what it should, or they do not belong together.
        """
        found = {option: _read(option, path) for option, path in files.named.items()}
        cert = found["--ssl-certfile"]
        key = found.get("--ssl-keyfile", cert)
        authorities = found.get("--ssl-ca-certs")
        made = []
        for protocols in (HTTP_1, HTTP_2):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(protocols)
            _load_chain(context, files, cert, key)
            if authorities is not None:
                _check_certificates("--ssl-ca-certs", files.authorities, authorities)
                context.load_verify_locations(cadata=authorities.decode("ascii"))
                context.verify_mode = ssl.CERT_OPTIONAL if files.optional else ssl.CERT_REQUIRED
            made.append(context)
        return cls(*made)


class NewestContext(ssl.SSLContext):
    """A context that begins each handshake with another's certificates: asyncio listens with one for good."""

    newest: ssl.SSLContext

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Begin a handshake; see SSLContext.wrap_bio."""
        return self.newest.wrap_bio(*args, **kwargs)


class ServerTls:
    """The certificates of both faces."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files.

        Raises:
            ServeError: see Certificates.read.
        """
        self._files = files
        self._state = self._tried = self._look()
        self._now = Certificates.read(files)
        self.context = NewestContext(ssl.PROTOCOL_TLS_SERVER)
        """What HTTP listens with."""
        self.http2_context = NewestContext(ssl.PROTOCOL_TLS_SERVER)
        """What gRPC listens with."""
        self._show()

    async def watch(self) -> None:
        """Read the files again whenever they have changed, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.renew()

    def renew(self) -> None:
        """Read the files again if they have changed; those that cannot be used leave everything as it is."""
        state = self._look()
        if state == self._state:
            return
        try:
            self._now = Certificates.read(self._files)
        except NotNowError as exc:
            if state != self._tried:  # the next look tries again, and says nothing new
                self._tried = state
                serve_log.warning("%s; the former certificates stay until they can be read", exc)
            return
        except ServeError as exc:
            self._state = state
            serve_log.warning("%s; the former certificates stay", exc)
            return
        self._state = self._tried = state
        self._show()
        named = ", ".join(map(str, self._files.named.values()))
        serve_log.info("%s: new connections get what these files hold now", named)

    def _show(self) -> None:
        self.context.newest, self.http2_context.newest = self._now.http, self._now.grpc

    def _look(self) -> list[tuple[int, ...]]:
        return [file_state(path) for path in self._files.named.values()]


def _read(option: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        if exc.errno in SHORT:
            raise NotNowError(f"{option} {path} cannot be read now: {exc.strerror}") from exc
        raise ServeError(f"{option} {path} cannot be read: {exc.strerror}") from exc


def _check_certificates(option: str, path: Path | None, data: bytes) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=data.decode("ascii"))
    except (ssl.SSLError, ValueError) as exc:
        raise ServeError(f"{option} {path} holds no certificate: {_said(exc)}") from exc


def _load_chain(context: ssl.SSLContext, files: TlsFiles, cert: bytes, key: bytes) -> None:
    """Load a certificate and its key from the bytes that were read, so that both faces show the same.

    Python loads them from files alone: these live in memory and have no name.
    """
    _check_certificates("--ssl-certfile", files.cert, cert)
    parts: list[int] = []
    try:
        for name, data in (("cert", cert), ("key", key)):
            parts.append(os.memfd_create(name))
            with open(parts[-1], "wb", closefd=False) as file:
                file.write(data)
        held_cert, held_key = (f"/proc/self/fd/{part}" for part in parts)
        context.load_cert_chain(held_cert, held_key, password="")  # never asks for one
    except ssl.SSLError as exc:
        named = f"--ssl-certfile {files.cert} and --ssl-keyfile {files.key or files.cert}"
        raise ServeError(f"{named} must be a certificate and its key, without a password: {_said(exc)}") from exc
    except OSError as exc:  # an SSLError is one too; what is left is the machine's
        raise _not_now(exc) from exc
    finally:
        for part in parts:
            os.close(part)


def _not_now(exc: OSError) -> NotNowError:
    return NotNowError(f"a certificate and its key cannot be held in memory now: {exc.strerror}")


def _said(exc: Exception) -> str:
    """Return what was wrong, in the library's words."""
    reason = exc.reason if isinstance(exc, ssl.SSLError) else None
    return (reason or "it is not in PEM format").lower().replace("_", " ")
