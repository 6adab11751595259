"""The routes of this face, and what every one of them does: an error of any kind gets OpenAI's form."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from ...errors import UNFORESEEN, Described, TrimodeError, shorten
from ..access.refusals import OPENAI
from ..error_answer import ERROR_TYPE
from ..guard import Guard
from ..http_front import trace
from ..metrics_front.source import MetricsSource
from ..models.model_backends import ModelBackends
from ..serving import Limits
from . import chat_completions, completions, fim_completions, models, server_facts, tokenize
from .messages import endpoint as messages
from .responses import endpoint as responses
from .shared.errors import FaceError, face_error
from .shared.exchange import JSON_BODY, ErrorBody, Exchange, Service, Services, dumps
from .shared.facts import Facts
from .shared.work import Worker

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Endpoint:
    """A method and a path, and what answers there; a group in the path is handed on."""

    method: str
    path: re.Pattern[str]
    answer: Callable[[Exchange, str], Awaitable[web.StreamResponse]]
    error_body: ErrorBody = FaceError.body
    open: bool = False  # to callers without an API key
    counted: bool = False  # as a request of its caller, see Turnstile


ENDPOINTS = (
    Endpoint("GET", re.compile("/v1/models/?()"), models.list_all),
    Endpoint("GET", re.compile("/v1/models/(.+)"), models.retrieve),
    Endpoint("POST", re.compile("/v1/chat/completions()"), chat_completions.create, counted=True),
    Endpoint("POST", re.compile("/v1/completions()"), completions.create, counted=True),
    Endpoint("POST", re.compile("/v1/fim/completions()"), fim_completions.create, counted=True),
    Endpoint("POST", re.compile("/v1/responses()"), responses.create, counted=True),
    Endpoint("POST", re.compile("/v1/messages()"), messages.create, messages.error_body, counted=True),
    Endpoint("POST", re.compile("/v1/messages/count_tokens()"), messages.count_tokens, messages.error_body),
    Endpoint("POST", re.compile("(?:/v1)?/tokenize()"), tokenize.to_ids),
    Endpoint("POST", re.compile("(?:/v1)?/detokenize()"), tokenize.to_text),
    Endpoint("GET", re.compile("(?:/v1)?/tokenizer_info()"), tokenize.tell_info),
    Endpoint("GET", re.compile("/health()|/v1/health/ready()"), server_facts.ready, open=True),
    Endpoint("GET", re.compile("/v1/health/live()"), server_facts.live, open=True),
    Endpoint("GET", re.compile("/version()"), server_facts.version),
    Endpoint("GET", re.compile("/metrics()"), server_facts.metrics),
)
"""What is served; the first that matches answers."""
PATHS = re.compile(r"/v1(/.*)?|/tokenize|/detokenize|/tokenizer_info|/health|/version|/metrics")
"""The paths of this face; what is not served among them gets an error in its form."""


class OpenAiFront:
    """The face itself; the guard hands it the requests for its paths."""

    paths = PATHS
    counted = OPENAI

    def __init__(self, services: Services, *, open_metrics: bool = False) -> None:
        """Serve; `open_metrics` says that /metrics needs no API key."""
        self.services = services
        self._open_metrics = open_metrics

    def refusal(self, path: str, error: TrimodeError) -> web.Response:
        """Return the answer to an error of a request that never came here, in the form of its endpoint."""
        found = next((one for one in ENDPOINTS if one.path.fullmatch(path)), None)
        told = face_error(error)
        body = dumps((found.error_body if found else FaceError.body)(told)).encode("utf-8", "replace")
        return web.Response(body=body, status=told.status, headers={**told.headers(), **JSON_BODY})

    async def answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer one request; an error has OpenAI's form too."""
        exchange = Exchange(request, self.services)
        matching = [(endpoint, match) for endpoint in ENDPOINTS if (match := endpoint.path.fullmatch(path))]
        method = "GET" if request.method == "HEAD" else request.method
        for endpoint, match in matching:
            if method == endpoint.method:
                open_to_all = endpoint.open or (self._open_metrics and endpoint.answer is server_facts.metrics)
                part = match[match.lastindex or 0]
                return await _answered(exchange, endpoint, part, open_to_all=open_to_all)
        shown = f"{request.method} {shorten(Described(path))}"
        if not matching:
            return exchange.error(FaceError("not_found", f"{shown} is not served here"))
        methods = {endpoint.method for endpoint, _ in matching}
        allow = ", ".join(sorted({*methods, *({"HEAD"} if "GET" in methods else ()), "OPTIONS"}))
        if method == "OPTIONS":
            return web.Response(status=204, headers={**exchange.headers(), "Allow": allow})
        refused = FaceError("not_allowed", f"{shown} is not served; use {allow}")
        answer = exchange.error(refused)
        answer.headers["Allow"] = allow
        return answer


async def _answered(exchange: Exchange, endpoint: Endpoint, part: str, *, open_to_all: bool) -> web.StreamResponse:
    exchange.counted = endpoint.counted
    try:
        if endpoint.counted:
            with exchange.service.entry.visit(exchange.request) as exchange.visit:
                response = await endpoint.answer(exchange, part)
                exchange.visit.answered(response.status, response.get(ERROR_TYPE, ""))
                return response
        if not open_to_all:
            exchange.service.entry.admit_request(exchange.request)
        return await endpoint.answer(exchange, part)
    except FaceError as exc:
        return exchange.error(exc, endpoint.error_body)
    except TrimodeError as exc:
        return exchange.error(face_error(exc), endpoint.error_body)
    except Exception:
        request = exchange.request
        if request.transport is None or request.transport.is_closing() or request.writer.output_size:
            raise  # the caller is gone or has a part of the answer: nobody to answer
        logger.exception("a request could not be answered%s", trace.named())
        return exchange.error(FaceError("internal", UNFORESEEN), endpoint.error_body)


def add_openai(
    guard: Guard,
    models: ModelBackends,
    facts: Sequence[Facts],
    limits: Limits,
    metrics: MetricsSource,
    *,
    open_metrics: bool,
) -> OpenAiFront:
    """Let the guard serve this face too, and return it.

    Args:
        facts: those of each of the models.
        metrics: reads what scrapers get.
    """
    every = [
        Service(model.name, one, Worker(model, model.state), models, limits, metrics, guard.entry)
        for model, one in zip(models, facts, strict=True)
    ]
    guard.add(front := OpenAiFront(Services(every), open_metrics=open_metrics))
    return front
