"""Entry: all that decides who may come in and as whom, for both faces; made from the command line's options."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from aiohttp import web

from ..caller import EVERY_PEER, FORWARDED_FOR, Callers
from .keys import API_KEY, AUTHORIZATION, OPEN, Access
from .tls import ServerTls, TlsFiles


@dataclass(frozen=True)
class Entry:
    """Who may come in.

    Attributes:
        callers: tells addresses apart.
        access: knows the keys.
        tls: the certificates of both faces; None where they speak without.
    """

    callers: Callers = EVERY_PEER
    access: Access = OPEN
    tls: ServerTls | None = None

    @classmethod
    def of(cls, options: argparse.Namespace) -> Entry:
        """Read the options that launch/options.py has for this.

        Raises:
            ServeError: one is wrong, contradicts another, or names a file that cannot be used.
        """
        files = TlsFiles.of(options.ssl_certfile, options.ssl_keyfile, options.ssl_ca_certs, options.ssl_cert_reqs)
        return cls(
            callers=Callers.behind(options.trusted_proxies),
            access=Access(options.api_key, options.api_key_file),
            tls=None if files is None else ServerTls(files),
        )

    @contextlib.asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Take up changed certificates inside the block."""
        watching = None if self.tls is None else asyncio.create_task(self.tls.watch())
        try:
            yield
        finally:
            if watching is not None:
                watching.cancel()

    def admit(self, authorization: str | None, api_key: str | None, peer: str, forwarded: Sequence[str] = ()) -> str:
        """Return who a caller is: the name of its key, or its address.

        Args:
            authorization, api_key: see Access.admit.
            peer, forwarded: see Callers.of.

        Raises:
            Refusal: it needs a key and has none of ours.
        """
        name = self.access.admit(authorization, api_key)
        return self.callers.of(peer, forwarded) if name is None else f"key {name}"

    def admit_request(self, request: web.BaseRequest) -> str:
        """Return who sent a request over HTTP; see `admit`."""
        given, forwarded = request.headers.get, request.headers.getall(FORWARDED_FOR, ())
        return self.admit(given(AUTHORIZATION), given(API_KEY), request.remote or "", forwarded)


EVERYBODY = Entry()
"""Lets everybody in."""
