"""Upkeep: what keeps one model served: its tritonserver, that one's files, checks and replacements, and who asks it.

Only wiring: each model has all of this for itself, so that what happens to one does not touch the others.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..backend_client import BackendClient
from ..gate import Gate
from ..launch.private_folder import private_folder
from ..launch.reaper import Reaper
from ..launch.renewal import Renewal
from ..launch.served import Served
from ..liveness import Liveness
from ..metrics_front.source import Model, Scraped
from ..serving import Limits
from ..supervisor import Supervisor
from .model_backend import ModelBackend


@dataclass(frozen=True)
class Upkeep:
    """What keeps one model served.

    Attributes:
        renewal: the bundle that the next start takes.
        supervisor: starts and ends its tritonserver.
        backend: asks it.
        scraped: its metrics.
    """

    renewal: Renewal
    supervisor: Supervisor
    backend: ModelBackend
    scraped: Scraped

    @property
    def served(self) -> Served:
        """What the last start took."""
        return self.renewal.served

    @classmethod
    @contextlib.asynccontextmanager
    async def of(
        cls, options: argparse.Namespace, served: Served, limits: Limits, stopping: threading.Event
    ) -> AsyncIterator[Upkeep]:
        """Make one of a model's options and bundle inside the block; nothing is started yet.

        Raises:
            ServeError: there is no tritonserver, no folder for temporary files, or no process for the reaper.
            ConfigError: a file of a reveal rule is missing, or cannot have its name.
        """
        async with contextlib.AsyncExitStack() as stack:
            reaper = await stack.enter_async_context(Reaper())
            folder = stack.enter_context(private_folder(reaper.folder))
            renewal, gate = Renewal(options, folder, reaper, served, stopping), Gate()
            ports = renewal.launch.ports
            http = BackendClient(ports.http, ports.http_socket)
            metrics = BackendClient(ports.metrics, ports.metrics_socket)
            seconds = {"ready_seconds": options.ready_timeout, "canary_seconds": options.canary_timeout}
            liveness = Liveness(http, metrics, **seconds, model=options.model_name)
            await stack.enter_async_context(contextlib.aclosing(liveness))
            supervisor = Supervisor(renewal.start, liveness, options.exit_timeout, gate, options.whose)
            names = served.facts.names.names
            backend = ModelBackend(http, supervisor, limits, gate, options.model_name, names)
            yield cls(renewal, supervisor, backend, Scraped(metrics, supervisor, model_of(served)))

    def take_up(self, served: Served) -> None:
        """Know another bundle, from the start that takes it."""
        self.backend.gate.generation += 1
        self.backend.others = served.facts.names.names
        self.scraped.model = model_of(served)


def model_of(served: Served) -> Model:
    """Return what metrics say of a bundle."""
    return Model(served.facts.names.names[0], served.manifest)
