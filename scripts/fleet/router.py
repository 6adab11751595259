"""What a fleet needs of the router in front of its servers, and the router's process."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from trimode.server.ports import free_port
from trimode.server.serving import Limits

from .replica import READY_SECONDS, Replica
from .waiting import FleetError, end, end_of, wait

SERVER_SECONDS = Limits.silence_seconds + 30.0
"""The longest pause that a router bears within an answer: longer than the server's, whose error then comes first."""
END_SECONDS = 60.0  # until a router that was asked to end must have ended


class Router(ABC):
    """One address in front of several servers. `title` is its name for people."""

    title: str

    def __init__(self, program: Path, folder: Path, port: int = 0) -> None:
        """Nothing runs yet.

        Args:
            program: what is executed.
            folder: for its configuration, its log and the servers' logs. Its path must be short: HAProxy's socket is
                in it, and a path of a socket has 107 bytes at most.
            port: where it listens; 0 takes a free one.
        """
        self.program = program
        self.folder = folder
        self.port = port or free_port(())
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def ports(self) -> set[int]:
        """Those that it takes."""
        return {self.port}

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / "router.log"

    @property
    @abstractmethod
    def metrics(self) -> str:
        """The address of its own metrics."""

    @abstractmethod
    def command(self, replicas: Sequence[Replica]) -> list[str]:
        """Return what is executed for these servers, after what it reads was written."""

    @abstractmethod
    def sends_to(self, replica: Replica) -> bool:
        """Say whether it gives requests to a server. Raises OSError while it does not answer."""

    @abstractmethod
    def drain(self, replica: Replica) -> None:
        """Let a server get no more requests."""

    @abstractmethod
    def drained(self, replica: Replica) -> bool:
        """Say whether no request is on its way to a server that is drained, or in it."""

    @abstractmethod
    def join(self, replica: Replica) -> None:
        """Let a server that was drained get requests again."""

    def start(self, replicas: Sequence[Replica]) -> None:
        """Start it, and wait until it sends to all of the servers.

        Raises:
            FleetError: it ends, or takes too long.
        """
        command = self.command(replicas)
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder, start_new_session=True)

        def up() -> bool:
            self.check()
            try:
                return all(self.sends_to(one) for one in replicas)
            except OSError:
                return False

        wait(up, READY_SECONDS, lambda: f"{self.title} does not serve: {end_of(self.log)}")

    def check(self) -> None:
        """Do nothing while it runs.

        Raises:
            FleetError: it does not run.
        """
        if self.process is None or self.process.poll() is not None:
            raise FleetError(f"{self.title} ended: {end_of(self.log)}")

    def end(self) -> bool:
        """End it; return whether it did so by itself."""
        if self.process is None:
            return True
        self.process.terminate()
        return end(self.process, END_SECONDS)
