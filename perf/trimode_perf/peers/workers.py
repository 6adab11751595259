"""The workers of all peers, while they are compared: who lives, what each said of itself, and why one does not.

A peer that fails is ended and not asked again; the others go on. Knows no peer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .peer import START_SECONDS, PeerError, Process, fitting

ANSWER_SECONDS = 120.0


def commands(python: Path, checkpoint: Path, threads: int) -> dict[str, list[str]]:
    """Return the command of every peer that can read `checkpoint`; `python` has the peers' libraries."""
    shared = ["--threads", str(threads), "--checkpoint", str(checkpoint.resolve())]
    worker = [str(python), "-m", "trimode_perf.peers.worker", *shared, "--peer"]
    return {name: [*worker, name] for name in fitting(checkpoint)}


def cores(threads: int) -> int:
    """Return the threads that each may take; 0 are all there are, as for the runtime."""
    return threads or len(os.sched_getaffinity(0))


class Workers:
    """Starts a worker by each command, inside a block; `alive` has those that live, `failures` why others do not."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        answer_seconds: float = ANSWER_SECONDS,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self._commands, self._answer_seconds, self._start_seconds = commands, answer_seconds, start_seconds
        self.alive: dict[str, Process] = {}
        self.abouts: dict[str, str] = {}
        self.failures: dict[str, str] = {}

    def __enter__(self) -> Workers:
        try:
            for name, command in self._commands.items():
                try:
                    self.alive[name] = Process(command, start_seconds=self._start_seconds)
                    self.abouts[name] = self.alive[name].hello["about"]
                except PeerError as exc:
                    self.failures[name] = str(exc)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        while self.alive:
            self.alive.popitem()[1].close()

    @property
    def modes(self) -> dict[str, list[str]]:
        """The modes of each that lives."""
        return {name: worker.hello["modes"] for name, worker in self.alive.items()}

    @property
    def timing(self) -> list[str]:
        """Those that can time a single pass."""
        return [name for name, worker in self.alive.items() if worker.hello.get("passes")]

    def ask(self, name: str, asked: Mapping[str, Any], what: str) -> dict[str, Any] | None:
        """Return its answer; None where it fails, or failed before. `what` begins the failure's text."""
        if name not in self.alive:
            return None
        try:
            return self.alive[name].ask(asked, self._answer_seconds)
        except PeerError as exc:
            self.failures[name] = f"{what}: {exc}"
            self.alive.pop(name).close()
            return None
