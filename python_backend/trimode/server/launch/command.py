"""What one tritonserver is started with: its command line, environment and addresses, and the files that they name.

Knows the server's options; nothing of what is asked of the server that was started.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...api.fields import SHIPPED_REVEALS
from ...api.reveals import RULE_FILES, check_rule_files, joined, rule_files
from ...bundle.manifest import ALL_MODES
from ...logs.setup import FORM_VARIABLE, LEVEL_VARIABLE
from ...tracing.spans import ENDPOINT_VARIABLE
from ..installation import find
from ..ports import Ports, free_port
from ..process import TritonProcess
from ..shared_memory import own_prefix
from .environment import variables
from .gpu_repository import on_gpus
from .options import TRITON_OPTIONS, parser
from .private_folder import plain_path
from .reaper import Reaper


def keys_given(options: argparse.Namespace) -> dict[str, str]:
    """Return the variables that win over model.yaml because of options."""
    given = {
        "TRIMODE_STREAM_INTERVAL": options.stream_interval,
        "TRIMODE_STREAM_INTERVAL_MS": options.stream_interval_ms,
        "TRIMODE_ALLOWED_MEDIA_DOMAINS": options.allowed_media_domains,
    }
    return {name: str(value) for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Launch:
    """How to start a tritonserver, as often as it takes.

    Attributes:
        command, environment: of the process.
        ports: where it listens.
        folder: where its sockets are.
        shm_prefix: what the names of its shared memory files begin with.
    """

    command: list[str]
    environment: dict[str, str]
    ports: Ports
    folder: Path
    shm_prefix: str

    @classmethod
    def prepare(
        cls,
        options: argparse.Namespace,
        repository: Path,
        bundle: Path,
        gpus: tuple[int, ...],
        folder: Path,
        modes: Sequence[str] = ALL_MODES,
        ports: Ports | None = None,
    ) -> Launch:
        """Find a tritonserver, and make the files in `folder` that it needs.

        Args:
            modes: those of the bundle's checkpoint.
            ports: of the tritonserver whose place this one takes; None for the first.

        Raises:
            ConfigError: a file of a reveal rule is missing, or cannot have its name.
            ServeError: there is no tritonserver, or it cannot be started so.
        """
        rules = tuple(dict.fromkeys(path.absolute() for path in (*rule_files(), *options.reveal_rule)))
        check_rule_files(rules, SHIPPED_REVEALS)
        installation = find(folder)
        ports = ports or _free_ports(options, folder)
        if gpus or modes != ALL_MODES or options.number is not None:  # of several models, Triton finds its own alone
            repository = on_gpus(repository, gpus, folder, modes, options.model_name)
        command = installation.command(
            plain_path(repository, folder, "models"),
            ports,
            ready_timeout=options.ready_timeout,
            shm_prefix=own_prefix(options.number),
            talkative=options.log_level == "debug",
        )
        command += options.triton_options  # after ours: of an option that is given twice the last counts
        bundle = plain_path(bundle, folder, "bundle")
        logs = {FORM_VARIABLE: "json", LEVEL_VARIABLE: options.log_level}  # triton_log.py reads JSON back
        spans = {ENDPOINT_VARIABLE: options.otlp_traces_endpoint} if options.otlp_traces_endpoint else {}
        own = {"TRIMODE_BUNDLE": str(bundle), RULE_FILES: joined(rules), **logs, **spans, **keys_given(options)}
        ours = {*variables(parser()), TRITON_OPTIONS}  # which the model does not know, and would refuse as misspelt
        inherited = {name: value for name, value in installation.environment.items() if name not in ours}
        environment = {**inherited, **own}
        if gpus:
            # CUDA numbers the fastest GPU 0 by default; an instance's index must mean what it means in nvidia-smi.
            environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        return cls(command, environment, ports, ports.sockets or folder, own_prefix(options.number))

    async def start(self, reaper: Reaper) -> TritonProcess:
        """Start it; `reaper` ends it when this process dies.

        Raises:
            OSError: this process has no files or memory for another one.
        """
        return await TritonProcess.start(self.command, self.environment, self.shm_prefix, self.folder, reaper)


def _free_ports(options: argparse.Namespace, folder: Path) -> Ports:
    """Return where a tritonserver listens: on sockets in `folder`, unless it is to listen on ports."""
    internal: list[int] = []
    taken = {options.http_port, options.grpc_port, options.metrics_port, *options.taken_ports}
    for _ in range(3):
        internal.append(free_port({*taken, *internal}))
    http, grpc, metrics = internal
    # tried with 2.51; github.com/triton-inference-server/server/issues/4095 has Unix sockets of later releases
    return Ports(http, grpc, metrics, sockets=None if options.triton_ports else folder)
