"""`python -m trimode.serve`: checks what it can, starts tritonserver under a supervisor, and the guard before it.

Only wiring: tritonserver.py knows the command, child.py the process, supervisor.py when it is ill, guard.py HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import signal
import socket
import tempfile
from collections.abc import Collection
from pathlib import Path

from ..api.tensors import MODEL_NAME
from ..bundle.manifest import CHAT_TEMPLATE, TOKENIZER, Manifest
from ..config import ServerConfig
from ..errors import ServeError, TrimodeError
from .backend_client import Upstream
from .gpu_repository import on_gpus, parse_gpus
from .guard import Guard, Limits, listen
from .installation import LOOPBACK, Ports, find
from .process import Child, own_prefix
from .supervisor import Supervisor, Watch, log

PROJECT = Path(__file__).resolve().parents[3]
EVERYWHERE = "0.0.0.0"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="trimode-serve", description=__doc__.splitlines()[0] if __doc__ else None)
    made.add_argument("--model-repository", type=Path, default=PROJECT / "model_repository", metavar="DIR")
    made.add_argument("--bundle", type=Path, metavar="DIR", help="engine bundle; wins over model.yaml")
    made.add_argument("--host", default="127.0.0.1", help="where HTTP listens [%(default)s]")
    for what in ("grpc", "metrics"):
        made.add_argument(
            f"--{what}-host", choices=(LOOPBACK, EVERYWHERE), default=LOOPBACK, help="nothing guards it [%(default)s]"
        )
    made.add_argument("--gpus", metavar="LIST", help="an instance on each, such as 0,1; for bundles of TensorRT")
    made.add_argument("--http-port", type=int, default=8000, metavar="PORT")
    made.add_argument("--grpc-port", type=int, default=8001, metavar="PORT")
    made.add_argument("--metrics-port", type=int, default=8002, metavar="PORT")
    made.add_argument("--max-body-mib", type=float, default=8.0, metavar="MIB", help="largest HTTP body")
    made.add_argument("--silence", type=float, default=300.0, metavar="S", help="longest pause in an answer")
    made.add_argument("--ready-timeout", type=int, default=600, metavar="S", help="longest start")
    made.add_argument("--exit-timeout", type=int, default=10, metavar="S", help="what runs may finish for so long")
    made.add_argument("--canary-timeout", type=float, default=10.0, metavar="S", help="patience with a stuck engine")
    made.add_argument("--max-failures", type=int, default=5, metavar="N", help="give up after N failures in a row")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        asyncio.run(_serve(options))
    except TrimodeError as exc:
        log(exc.on_the_wire())
        return 1
    return 0


async def _serve(options: argparse.Namespace) -> None:
    hosts = {"http": options.host, "grpc": options.grpc_host, "metrics": options.metrics_host}
    for name, host in hosts.items():
        check_port_free(f"{name}-port", host, getattr(options, f"{name}_port"))
    repository = options.model_repository.resolve()
    config = ServerConfig.load(repository / MODEL_NAME / "model.yaml")
    bundle = (options.bundle or repository.parent / config.bundle).resolve()
    manifest = Manifest.load(bundle)
    gpus = gpus_for(options.gpus, manifest)
    named = {options.http_port, options.grpc_port, options.metrics_port}
    ports = Ports(free_port(named), options.grpc_port, options.metrics_port, options.grpc_host, options.metrics_host)
    watch = Watch(options.ready_timeout, options.canary_timeout, options.exit_timeout, options.max_failures)

    with tempfile.TemporaryDirectory(prefix="trimode-") as scratch:
        installation = find(Path(scratch))
        if gpus:
            repository = on_gpus(repository, gpus, Path(scratch))
        command = installation.command(
            repository,
            ports,
            exit_timeout=options.exit_timeout,
            ready_timeout=options.ready_timeout,
            shm_prefix=own_prefix(),
            admin_key=secrets.token_urlsafe(24),
        )
        environment = {**installation.environment, "TRIMODE_BUNDLE": str(bundle)}
        if gpus:
            # CUDA's own order puts the fastest first; instances must mean the GPUs that nvidia-smi lists
            environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")

        async def start() -> Child:
            return await Child.start(command, environment, own_prefix(), Path(scratch))

        upstream = Upstream(ports.http)
        supervisor = Supervisor(start, upstream, Upstream(ports.metrics), watch)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.stop)
        limits = Limits(int(options.max_body_mib * 2**20), silence_seconds=options.silence)
        guard = Guard(upstream, supervisor, limits)
        async with listen(guard, options.host, options.http_port):
            log(f"loading {manifest.model} ({manifest.precision}) from {bundle}")
            await supervisor.run(lambda: print(banner(options, manifest, bundle), flush=True))


def gpus_for(text: str | None, manifest: Manifest) -> tuple[int, ...]:
    """Return the GPUs that `--gpus` names, none without it.

    Raises:
        ServeError: they are no list of indices, or the bundle's engine does not run on GPUs.
    """
    if text is None:
        return ()
    if manifest.runtime != "tensorrt":
        raise ServeError(f"--gpus needs a bundle for tensorrt, {manifest.model} was built for {manifest.runtime}")
    return parse_gpus(text)


def banner(options: argparse.Namespace, manifest: Manifest, bundle: Path) -> str:
    """Return what is printed when the server is ready."""
    http = f"http://{options.host}:{options.http_port}"
    if (bundle / CHAT_TEMPLATE).is_file():
        prompt = '"messages": [{"role": "user", "content": "What is 23 + 2221?"}]'
    else:
        prompt = '"text_input": "Once upon a time"' if (bundle / TOKENIZER).is_file() else '"input_ids": [1, 2, 3]'
    return "\n".join(
        (
            f"ready: {manifest.model} ({manifest.precision}, up to {manifest.capacity} tokens)",
            f"  HTTP     {http}/v2/models/{MODEL_NAME}/generate and /generate_stream",
            f"  gRPC     127.0.0.1:{options.grpc_port}     metrics  http://127.0.0.1:{options.metrics_port}/metrics",
            f"  try      curl -s {http}/v2/models/{MODEL_NAME}/generate -d '{{{prompt}, \"max_tokens\": 128}}'",
        )
    )


def check_port_free(option: str, host: str, port: int) -> None:
    """Raise ServeError if something listens there; asked before a model is loaded for minutes."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as exc:
            raise ServeError(f"--{option} {port} on {host} cannot be taken: {exc}; with make: PORT=…") from exc


def free_port(named: Collection[int]) -> int:
    """Return a loopback port that is free now and none of `named`, which are free too but not ours to take."""
    with contextlib.ExitStack() as held:  # a port turned down stays taken, so that it is not offered again
        while True:
            probe = held.enter_context(contextlib.closing(socket.socket()))
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port not in named:
                return port
