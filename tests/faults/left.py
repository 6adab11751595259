"""What a server may leave behind: processes, listening ports, files in /dev/shm, its private folder.

Looks for all that belongs to one server while it runs, and for what is still there later.
"""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.server.server import Server, runs, wait_until


@dataclass
class Belongings:
    """The processes of one server, its ports, and the files that only it uses."""

    ports: tuple[int, ...]
    pid: int
    processes: set[psutil.Process] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)

    @classmethod
    def of(cls, server: Server) -> Belongings:
        found = cls((server.http_port, server.grpc_port, server.metrics_port), server.process.pid)
        found.look()
        return found

    def look(self) -> None:
        """Add what the server has now."""
        try:
            started = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return
        self.processes.update(started)
        for process in started:
            for part in map(Path, _arguments(process)):
                self.folders.update(folder for folder in (part, *part.parents) if folder.name.startswith("trimode-"))

    def left(self) -> list[str]:
        """Name what is still there."""
        named = [f"process {process.pid}" for process in self.processes if runs(process)]
        named += [f"port {port}" for port in self.ports if _taken(port)]
        named += [str(file) for file in Path("/dev/shm").glob(f"trimode_*_{self.pid}_*")]
        return named + [str(folder) for folder in self.folders if folder.exists()]

    def wait_gone(self) -> None:
        wait_until(lambda: not self.left(), lambda: f"left behind: {self.left()}")


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _taken(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def reapers(server: Server) -> list[psutil.Process]:
    """The server's processes that end what it started when it dies."""
    return [child for child in psutil.Process(server.process.pid).children() if "trimode-reaper" in _arguments(child)]


def started_with(name: str, value: str) -> list[psutil.Process]:
    """The processes that run and were started with this variable in their environment, whoever their parent is."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(name) == value and runs(process):
                found.append(process)
    return found
