"""One server of a fleet: its ports, its log, and its process while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trimode.server.ports import LOOPBACK

from .waiting import FleetError, end, end_of, wait

READY_SECONDS = 600.0  # for a server to start: as its own --ready-timeout
ANSWER_SECONDS = 300  # that a request may still take when its server is to end
STOP_SECONDS = ANSWER_SECONDS + 30.0  # until a server that was asked to end must have ended
HEALTH_SECONDS = 5.0  # for an answer to a question about health


@dataclass
class Replica:
    """One server: its name, its ports, and its process while it runs."""

    name: str
    http: int
    grpc: int
    metrics: int
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it serves HTTP."""
        return f"http://{LOOPBACK}:{self.http}"

    def runs(self) -> bool:
        """Say whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def ready(self) -> bool:
        """Say whether it takes requests."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=HEALTH_SECONDS) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as exc:
            exc.close()
            return False
        except OSError:
            return False

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start its process, of which none may run, with `environment` beside this process's own."""
        ports = {"http": self.http, "grpc": self.grpc, "metrics": self.metrics}
        words = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
        words += ["--trusted-proxies", LOOPBACK, "--exit-timeout", str(ANSWER_SECONDS)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, *words],
                env={**os.environ, **environment},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until it takes requests.

        Raises:
            FleetError: it ended, or takes too long.
        """

        def ready() -> bool:
            if not self.runs():
                raise FleetError(f"{self.name} ended: {end_of(self.log)}")
            return self.ready()

        wait(ready, READY_SECONDS, lambda: f"{self.name} is not ready: {end_of(self.log)}")

    def ask_to_end(self, *, at_once: bool = False) -> None:
        """Ask its process to end: with the answers that it has begun, or without them."""
        if self.process is not None and self.runs():
            for _ in range(2 if at_once else 1):
                self.process.send_signal(signal.SIGTERM)

    def end(self, seconds: float = STOP_SECONDS) -> bool:
        """Wait until its process, which was asked to end, has ended; return whether it did so by itself."""
        return self.process is None or end(self.process, seconds)
