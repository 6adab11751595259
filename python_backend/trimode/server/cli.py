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
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..api.tensors import MODEL_NAME
from ..bundle.digests import StoppedError
from ..bundle.manifest import CHAT_TEMPLATE, TOKENIZER, Manifest
from ..errors import ServeError, TrimodeError
from ..logs.lines import FORMS, line_of
from ..logs.setup import DEFAULT_FORM, log_lines, serve_log
from .access.entry import Entry
from .access.keys import OPEN
from .backend_client import BackendClient
from .gate import Gate
from .grpc_front.front import GrpcFront
from .grpc_front.listener import MOST_CALLERS
from .grpc_front.listener import listen as listen_grpc
from .guard import Guard
from .http_front.bodies import Bodies
from .http_front.listener import listen
from .launch.limits import affordable, raise_file_limit
from .launch.options import parser as parser
from .launch.options import read
from .launch.output import DROPPED, output_aside
from .launch.private_folder import private_folder
from .launch.reaper import Reaper
from .launch.renewal import Renewal
from .launch.served import Served
from .launch.signals import Signals
from .liveness import Liveness
from .metrics_front.front import MOST_SCRAPERS, MetricsFront
from .metrics_front.source import MetricsSource, Model
from .openai.front import add_openai
from .playground.front import ROOT, PlaygroundFront
from .ports import check_port_free, free_port, in_url
from .serving import Limits
from .shared_memory import close_shm, own_prefix
from .supervisor import Supervisor


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
    served = await asyncio.to_thread(Served.read, options, signals.stopping)
    entry = Entry.of(options, max(len(served.gpus), 1))
    async with contextlib.AsyncExitStack() as stack:
        reaper = await stack.enter_async_context(Reaper())
        folder = stack.enter_context(private_folder(reaper.folder))
        renewal, gate = Renewal(options, folder, reaper, served, signals.stopping), Gate()
        ports = renewal.launch.ports
        backend = BackendClient(ports.http, ports.http_socket)
        metrics = BackendClient(ports.metrics, ports.metrics_socket)
        seconds = {"ready_seconds": options.ready_timeout, "canary_seconds": options.canary_timeout}
        liveness = Liveness(backend, metrics, **seconds)
        supervisor = Supervisor(renewal.start, liveness, options.exit_timeout, gate)
        guard = Guard(backend, supervisor, limits, entry, gate)
        source = MetricsSource(metrics, supervisor, model_of(served), entry.refusals)
        if options.playground:
            guard.add(PlaygroundFront(entry.refusals, limits.body_bytes))
        openai = add_openai(guard, served.facts, supervisor, limits, source, open_metrics=options.metrics_without_key)
        front = GrpcFront(ports.grpc_target, supervisor, limits, entry, gate)
        scraped = MetricsFront(source, replace(entry, access=OPEN) if options.metrics_without_key else entry)

        def stop() -> None:
            supervisor.stop()
            front.drain()

        def take_up(served: Served) -> None:
            _say_loading(served)
            gate.generation += 1
            openai.renew(served.facts)
            source.renew(model_of(served))

        renewal.on_taken = take_up
        signals.hand_to(stop, lambda: renewal.begin(supervisor.renew))
        most_http, most_grpc, most_metrics = affordable(options.max_connections, MOST_CALLERS, MOST_SCRAPERS)
        http = (options.host, options.http_port, most_http, entry.tls)
        async with (
            contextlib.aclosing(liveness),
            entry.renewing(),
            listen(guard.handle, *http, "--max-connections", guard.refusal),
            listen(scraped.handle, options.metrics_host, options.metrics_port, most_metrics, entry.tls),
            listen_grpc(front, in_url(options.grpc_host), options.grpc_port, most_grpc),
        ):
            _say_loading(served)
            await supervisor.run(partial(_ready, front, renewal, options), lambda: guard.running + front.running)


def model_of(served: Served) -> Model:
    """Return what metrics say of a bundle."""
    return Model(served.facts.names.names[0], served.manifest, served.config.max_slots)


def _say_loading(served: Served) -> None:
    manifest = served.manifest
    serve_log.info("loading %s (%s) from %s", manifest.model, manifest.precision, served.bundle)


async def _ready(front: GrpcFront, renewal: Renewal, options: argparse.Namespace) -> None:
    """Say that the server is ready, once gRPC is connected: to people on the standard output, else in the log."""
    close_shm(own_prefix())
    await front.connect()
    text = banner(options, renewal.served.manifest, renewal.served.bundle)
    if options.log_format != DEFAULT_FORM:
        serve_log.info("%s", text.partition("\n")[0])
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


def banner(options: argparse.Namespace, manifest: Manifest, bundle: Path) -> str:
    """Return what is printed when the server is ready."""
    secure = "s" if options.ssl_certfile else ""
    http = f"http{secure}://{in_url(options.host)}:{options.http_port}"
    grpc = f"{in_url(options.grpc_host)}:{options.grpc_port}"
    metrics = f"http{secure}://{in_url(options.metrics_host)}:{options.metrics_port}"
    if (bundle / CHAT_TEMPLATE).is_file():
        prompt = '"messages": [{"role": "user", "content": "What is 23 + 2221?"}]'
    else:
        prompt = '"text_input": "Once upon a time"' if (bundle / TOKENIZER).is_file() else '"input_ids": [1, 2, 3]'
    only = "" if manifest.denoises else f", modes {' and '.join(manifest.modes)} only"
    page = (f"  page     {http}{ROOT}/#example",) if options.playground else ()
    return "\n".join(
        (
            f"ready: {manifest.model} ({manifest.precision}, up to {manifest.capacity} tokens{only})",
            *page,
            f"  HTTP     {http}/v2/models/{MODEL_NAME}/generate and /generate_stream",
            f"  OpenAI   {http}/v1",
            f"  gRPC     {grpc}     metrics  {metrics}/metrics",
            f"  try      curl -s {http}/v2/models/{MODEL_NAME}/generate -d '{{{prompt}, \"max_tokens\": 128}}'",
        )
    )
