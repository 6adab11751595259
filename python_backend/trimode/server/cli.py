"""The command line `python -m trimode.server`, and how the parts of the server are put together.

Only wiring: launch/ knows tritonserver's command, process.py its process, liveness.py when it is ill,
supervisor.py what happens then, guard.py HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from functools import partial

from ..api.tensors import MODEL_NAME
from ..bundle.digests import StoppedError
from ..bundle.manifest import CHAT_TEMPLATE, TOKENIZER
from ..errors import ServeError, TrimodeError
from ..logs.lines import FORMS, line_of
from ..logs.setup import DEFAULT_FORM, log_lines, serve_log
from .access.entry import Entry
from .access.keys import OPEN
from .grpc_front.front import GrpcFront
from .grpc_front.listener import MOST_CALLERS
from .grpc_front.listener import listen as listen_grpc
from .guard import Guard
from .http_front.bodies import Bodies
from .http_front.listener import listen
from .launch.each_model import KnownNames, each_model
from .launch.limits import affordable, raise_file_limit
from .launch.options import parser as parser
from .launch.options import read
from .launch.output import DROPPED, output_aside
from .launch.served import Served, check_together
from .launch.signals import Signals
from .metrics_front.front import MOST_SCRAPERS, MetricsFront
from .metrics_front.source import MetricsSource
from .models.model_backends import ModelBackends
from .models.upkeep import Upkeep
from .openai.front import add_openai
from .playground.front import ROOT, PlaygroundFront
from .ports import check_port_free, free_port, in_url
from .serving import Limits
from .shared_memory import close_shm, own_prefix


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    options = read(sys.argv[1:] if arguments is None else arguments, os.environ)
    raise_file_limit()
    with output_aside(partial(dropped_note, options.log_format)), log_lines(options.log_format, options.log_level):
        try:
            asyncio.run(_serve(options))
        except StoppedError:
            serve_log.info("stopped before the bundle was read")
        except TrimodeError as exc:
            serve_log.error("%s", exc.on_the_wire())
            return 1
    return 0


def dropped_note(form: str, lines: int) -> bytes:
    """Return the line of the log that says how many were dropped."""
    return line_of(FORMS[form](), logging.WARNING, serve_log.name, DROPPED.format(lines))


async def _serve(options: argparse.Namespace) -> None:
    settle_ports(options)
    limits = limits_of(options)
    signals = Signals()
    every = await asyncio.to_thread(each_model, options)
    names = KnownNames()
    read = [await asyncio.to_thread(Served.read, one, signals.stopping) for one in every]
    for number, served in enumerate(read):
        _take(names, number, every, served)
    entry = Entry.of(options, sum(max(len(served.gpus), 1) for served in read))
    async with contextlib.AsyncExitStack() as stack:
        kept: list[Upkeep] = []
        for one, served in zip(every, read, strict=True):
            one.taken_ports = tuple(number for other in kept for number in other.renewal.launch.ports.numbers)
            kept.append(await stack.enter_async_context(Upkeep.of(one, served, limits, signals.stopping)))
        models = ModelBackends(*(one.backend for one in kept))
        guard = Guard(models, limits, entry)
        source = MetricsSource([one.scraped for one in kept], entry.refusals)
        if options.playground:
            guard.add(PlaygroundFront(entry.refusals, limits.body_bytes))
        facts, open_metrics = [served.facts for served in read], options.metrics_without_key
        openai = add_openai(guard, models, facts, limits, source, open_metrics=open_metrics)
        addresses = {one.backend.name: one.renewal.launch.ports.grpc_target for one in kept}
        front = GrpcFront(models, addresses, limits, entry)
        scraped = MetricsFront(source, replace(entry, access=OPEN) if open_metrics else entry)

        def take_up(number: int, served: Served) -> None:
            _say_loading(served)
            kept[number].take_up(served)
            openai.services.renew(number, served.facts)

        for number, model in enumerate(kept):
            model.renewal.on_read = partial(_take, names, number, every)
            model.renewal.on_taken = partial(take_up, number)
        signals.hand_to(partial(_stop, kept, front), partial(_renew, kept))
        most_http, most_grpc, most_metrics = affordable(options.max_connections, MOST_CALLERS, MOST_SCRAPERS)
        http = (options.host, options.http_port, most_http, entry.tls)
        async with (
            entry.renewing(),
            listen(guard.handle, *http, "--max-connections", guard.refusal),
            listen(scraped.handle, options.metrics_host, options.metrics_port, most_metrics, entry.tls),
            listen_grpc(front, in_url(options.grpc_host), options.grpc_port, most_grpc),
        ):
            await together([_run(one, kept, front, options) for one in kept])


def _take(names: KnownNames, number: int, every: Sequence[argparse.Namespace], served: Served) -> None:
    check_together(served, len(every))
    names.take(number, every[number].model_name, served.facts.names)


def _stop(kept: Sequence[Upkeep], front: GrpcFront) -> None:
    for one in kept:
        one.supervisor.stop()
    front.drain()


def _renew(kept: Sequence[Upkeep]) -> None:
    for one in kept:
        one.renewal.begin(one.supervisor.renew)


async def _run(one: Upkeep, kept: Sequence[Upkeep], front: GrpcFront, options: argparse.Namespace) -> None:
    """Serve one of the models until the server is stopped."""

    def running() -> int:
        return one.backend.running + front.running(one.backend)

    _say_loading(one.served)
    await one.supervisor.run(partial(_ready, one, kept, front, options), running)


async def together(runs: Sequence[Coroutine[None, None, None]]) -> None:
    """Wait until all have ended; the first error of one ends the others, and is raised."""
    tasks = [asyncio.create_task(run) for run in runs]
    try:
        for ended in asyncio.as_completed(tasks):
            await ended
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _say_loading(served: Served) -> None:
    manifest = served.manifest
    serve_log.info("loading %s (%s) from %s", manifest.model, manifest.precision, served.bundle)


async def _ready(one: Upkeep, kept: Sequence[Upkeep], front: GrpcFront, options: argparse.Namespace) -> None:
    """Say that the server is ready, once gRPC is connected and every model is: on the standard output, or in the log.

    People read the standard output, so the whole text is there; the log has its first lines.
    """
    close_shm(own_prefix())
    await front.connect(one.backend)
    if not all(other is one or other.supervisor.alive for other in kept):
        return
    text = banner(options, [other.served for other in kept], [other.backend.name for other in kept])
    if options.log_format != DEFAULT_FORM:
        for line in text.splitlines()[: len(kept)]:
            serve_log.info("%s", line)
        return
    with contextlib.suppress(OSError):  # a full disk, or nobody reads
        print(text, flush=True)


def limits_of(options: argparse.Namespace) -> Limits:
    """Return the limits of an exchange that `options` set.

    Raises:
        ServeError: a single body may be larger than all of them together.
    """
    body, bodies = options.max_body_mib, options.max_bodies_mib
    if bodies < body:
        raise ServeError(f"--max-bodies-mib must be at least --max-body-mib, {body:g}, got {bodies:g}")
    return Limits(int(body * 2**20), silence_seconds=options.silence, bodies=Bodies(int(bodies * 2**20)))


def settle_ports(options: argparse.Namespace) -> None:
    """Put a free port where `options` has 0, and check that the others are free.

    Raises:
        ServeError: one is taken or given twice, or its host is no address of this machine.
    """
    ports = {f"--{name}-port": getattr(options, f"{name}_port") for name in ("http", "grpc", "metrics")}
    named = [port for port in ports.values() if port]
    if len(set(named)) < len(named):
        shown = ", ".join(f"{option} {port}" for option, port in ports.items())
        raise ServeError(f"each needs a port of its own, got {shown}")
    hosts = {"http": options.host, "grpc": options.grpc_host, "metrics": options.metrics_host}
    for name, host in hosts.items():
        given = {getattr(options, f"{other}_port") for other in hosts}
        port = getattr(options, f"{name}_port") or free_port(given)
        setattr(options, f"{name}_port", port)
        check_port_free(f"{name}-port", host, port)


def banner(options: argparse.Namespace, models: Sequence[Served], names: Sequence[str] = (MODEL_NAME,)) -> str:
    """Return what is printed when the server is ready: a line for each model, and where to ask.

    Args:
        names: those of the models for KServe's clients.
    """
    secure = "s" if options.ssl_certfile else ""
    http = f"http{secure}://{in_url(options.host)}:{options.http_port}"
    grpc = f"{in_url(options.grpc_host)}:{options.grpc_port}"
    metrics = f"http{secure}://{in_url(options.metrics_host)}:{options.metrics_port}"
    page = (f"  page     {http}{ROOT}/#example",) if options.playground else ()
    asked = names[0] if len(names) == 1 else "MODEL"
    bundle = models[0].bundle
    if (bundle / CHAT_TEMPLATE).is_file():
        prompt = '"messages": [{"role": "user", "content": "What is 23 + 2221?"}]'
    else:
        prompt = '"text_input": "Once upon a time"' if (bundle / TOKENIZER).is_file() else '"input_ids": [1, 2, 3]'
    return "\n".join(
        (
            *(_line_of(served, name, several=len(names) > 1) for served, name in zip(models, names, strict=True)),
            *page,
            f"  HTTP     {http}/v2/models/{asked}/generate and /generate_stream",
            f"  OpenAI   {http}/v1",
            f"  gRPC     {grpc}     metrics  {metrics}/metrics",
            f"  try      curl -s {http}/v2/models/{names[0]}/generate -d '{{{prompt}, \"max_tokens\": 128}}'",
        )
    )


def _line_of(served: Served, name: str, *, several: bool) -> str:
    """Return what is said of one model, where there are several with all of its names."""
    manifest = served.manifest
    only = "" if manifest.denoises else f", modes {' and '.join(manifest.modes)} only"
    known = f" as {', '.join(dict.fromkeys((*served.facts.names.names, name)))}" if several else ""
    return f"ready: {manifest.model} ({manifest.precision}, up to {manifest.capacity} tokens{only}){known}"
