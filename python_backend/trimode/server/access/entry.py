"""Entry: all that decides who may come in and as whom, for both faces; made from the command line's options."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from ...logs.request_id import current_id
from ...logs.setup import serve_log
from ...tracing.request_trace import Attributes
from ...tracing.spans import Spans
from ..caller import EVERY_PEER, FORWARDED_FOR, Callers
from ..http_front import trace
from ..http_front.path import path_of
from .keys import API_KEY, AUTHORIZATION, OPEN, Access
from .origins import Origins
from .rates import Rates
from .refusals import Refusals
from .tls import ServerTls, TlsFiles
from .turnstile import Turnstile, Visit

REQUEST_ID = "trimode.request_id"
"""The attribute of a span with the id that lines of the log have."""
KEY_IN_FRONT = "key "
"""How the name of a caller begins that has a key; no address does."""


@dataclass(frozen=True)
class Entry:
    """Who may come in.

    Attributes:
        callers: tells addresses apart.
        access: knows the keys.
        turnstile: counts requests.
        origins: the web pages that may ask.
        refusals: counts who was not let in, or refused later.
        tls: the certificates of both faces; None where they speak without.
        spans: makes a span of each request that is let in; None where nobody asked for spans.
    """

    callers: Callers = EVERY_PEER
    access: Access = OPEN
    turnstile: Turnstile = field(default_factory=Turnstile)
    origins: Origins = field(default_factory=Origins)
    refusals: Refusals = field(default_factory=Refusals)
    tls: ServerTls | None = None
    spans: Spans | None = None

    @classmethod
    def of(cls, options: argparse.Namespace, instances: int = 1) -> Entry:
        """Read the options that launch/options.py has for this; `instances` of the model share a caller's tokens.

        Raises:
            ConfigError: spans are asked for and the library for them is not installed.
            ServeError: one is wrong, contradicts another, or names a file that cannot be used.
        """
        files = TlsFiles.of(options.ssl_certfile, options.ssl_keyfile, options.ssl_ca_certs, options.ssl_cert_reqs)
        usual = Rates(options.requests_per_minute, options.tokens_per_minute, options.concurrent_requests)
        access = Access(options.api_key, options.api_key_file, usual=usual)
        return cls(
            callers=Callers.behind(options.trusted_proxies),
            access=access,
            turnstile=Turnstile(lambda caller: access.rates_of(key_of(caller)), instances),
            origins=Origins.of(options.allowed_origins),
            tls=None if files is None else ServerTls(files),
            spans=Spans.of(options.otlp_traces_endpoint, __name__),
        )

    @contextlib.asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Say which keys there are, and take up changed certificates inside the block; send the last spans after it."""
        if names := self.access.names():
            serve_log.info("%d API keys: %s", len(names), ", ".join(names))
        watching = None if self.tls is None else asyncio.create_task(self.tls.watch())
        try:
            yield
        finally:
            if watching is not None:
                watching.cancel()
            if self.spans is not None:
                await asyncio.to_thread(self.spans.close)

    def admit(self, authorization: str | None, api_key: str | None, peer: str, forwarded: Sequence[str] = ()) -> str:
        """Return who a caller is: the name of its key, or its address.

        Args:
            authorization, api_key: see Access.admit.
            peer, forwarded: see Callers.of.

        Raises:
            Refusal: it needs a key and has none of ours.
        """
        name = self.access.admit(authorization, api_key)
        return self.callers.of(peer, forwarded) if name is None else f"{KEY_IN_FRONT}{name}"

    def admit_request(self, request: web.BaseRequest) -> str:
        """Return who sent a request over HTTP; see `admit`."""
        given, forwarded = request.headers.get, request.headers.getall(FORWARDED_FOR, ())
        return self.admit(given(AUTHORIZATION), given(API_KEY), request.remote or "", forwarded)

    def visit(self, request: web.BaseRequest) -> Visit:
        """Let in a request over HTTP that asks for an answer.

        Raises:
            Refusal: see `admit`.
            RateLimitedError: see Turnstile.enter.
        """
        visit = self.turnstile.enter(self.admit_request(request))
        if self.spans is not None:
            path = path_of(request)
            said: Attributes = {"http.request.method": request.method, "url.path": path, REQUEST_ID: current_id()}
            visit.span = self.spans.serve(f"{request.method} {path}", request.headers, said)
            trace.follow(visit.traceparent)
        return visit

    def visit_of_call(self, caller: str, metadata: Sequence[tuple[str, str]], path: str) -> Visit:
        """Let in a message of a call over gRPC, whose `caller` was admitted.

        Raises:
            RateLimitedError: see Turnstile.enter.
        """
        visit = self.turnstile.enter(caller)
        if self.spans is not None:
            name = path.removeprefix("/")
            visit.span = self.spans.serve(name, dict(metadata), {"rpc.system.name": "grpc", "rpc.method": name})
        return visit


def key_of(caller: str) -> str | None:
    """Return the name of a caller's key; None for an address."""
    return caller.removeprefix(KEY_IN_FRONT) if caller.startswith(KEY_IN_FRONT) else None


EVERYBODY = Entry()
"""Lets everybody in."""
