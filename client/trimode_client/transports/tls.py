"""Tls: the certificates of a connection, for both protocols.

Reads files; opens no connection.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import TlsError


@dataclass(frozen=True)
class Tls:
    """Files in PEM format.

    Attributes:
        ca_file: the authorities that the server's certificate may come from; None for the public ones.
        cert_file: the client's certificate and those between it and its authority, where the server wants one.
        key_file: the key of that certificate, without a password; None if `cert_file` holds it too.
    """

    ca_file: str | os.PathLike[str] | None = None
    cert_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None

    def context(self) -> ssl.SSLContext:
        """Return what HTTP needs.

        Raises:
            TlsError: a file cannot be read or does not hold what it should.
        """
        if self == Tls():
            return public_authorities()
        self.pem()
        try:
            made = ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError as exc:
            raise TlsError(f"ca_file {self.ca_file} holds no certificates: {_said(exc)}") from None
        if self.cert_file is not None:
            try:
                made.load_cert_chain(self.cert_file, self.key_file, password="")  # never asks for one
            except ssl.SSLError as exc:
                files = f"cert_file {self.cert_file} and key_file {self.key_file or self.cert_file}"
                raise TlsError(f"{files} must be a certificate and its key: {_said(exc)}") from None
        return made

    def pem(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Return what gRPC needs: authorities, key and certificates.

        Raises:
            TlsError: a file cannot be read, or there is a key without its certificate.
        """
        if self.key_file is not None and self.cert_file is None:
            raise TlsError("key_file needs cert_file, the key's certificate")
        key_file = self.cert_file if self.key_file is None else self.key_file
        authorities = ssl.get_default_verify_paths().cafile if self.ca_file is None else self.ca_file
        return _read("ca_file", authorities), _read("key_file", key_file), _read("cert_file", self.cert_file)


@cache
def public_authorities() -> ssl.SSLContext:
    """Return the system's certificates, which take tens of milliseconds to load."""
    return ssl.create_default_context()


def tls_words(cause: str) -> str:
    """Return what to say after an address where TLS failed, from the library's words."""
    said = cause.lower().replace("_", " ")
    if "wrong version number" in said:
        return "does not speak TLS; write http:// or grpc://, or host:port"
    if "mismatch" in said or "peer name" in said or "hostname verif" in said:
        return f"has a certificate for another name: {cause}"
    if "certificate required" in said or "handshake failure" in said:
        return f"wants a certificate of the client; give cert_file and key_file: {cause}"
    if "unwrap failed" in said:  # gRPC's word for all that the other side says after the handshake
        return f"wants a certificate of the client, or refuses the one of cert_file: {cause}"
    if "alert" in said:
        return f"refuses the client's certificate: {cause}"
    if "verify failed" in said:
        return f"has a certificate that is not trusted; ca_file names its authority: {cause}"
    return f"cannot be spoken to over TLS: {cause}"


def _read(name: str, path: str | os.PathLike[str] | None) -> bytes | None:
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError as exc:
        raise TlsError(f"{name} {path} cannot be read: {exc.strerror}") from None


def _said(exc: ssl.SSLError) -> str:
    return exc.reason or exc.strerror or "it cannot be read"
