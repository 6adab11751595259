"""Certificates made for a test by openssl, which is a process: an authority, and what it has signed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """An authority made for the tests, and what it has signed: a server's certificate and a client's."""

    ca: Identity
    server: Identity
    client: Identity

    @classmethod
    def create(cls, folder: Path) -> Authority:
        folder.mkdir()
        ca = _signed(folder, "ca", "-addext", "keyUsage=critical,keyCertSign")
        by_it = ("-CA", str(ca.cert), "-CAkey", str(ca.key), "-addext", "basicConstraints=critical,CA:FALSE")
        server = _signed(folder, "server", *by_it, "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        return cls(ca, server, _signed(folder, "client", *by_it))


def _signed(folder: Path, name: str, *arguments: str) -> Identity:
    made = Identity(folder / f"{name}.pem", folder / f"{name}.key")
    files = ("-keyout", str(made.key), "-out", str(made.cert))
    command = ["openssl", "req", "-x509", *NEW_KEY, "-days", "2", "-subj", f"/CN={name} of a test", *files, *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return made
