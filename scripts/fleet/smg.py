"""smg in front of a fleet: its command line, and its list of workers over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimode.server.ports import LOOPBACK, free_port

from .replica import HEALTH_SECONDS, Replica
from .router import SERVER_SECONDS, Router
from .waiting import FleetError

TRIES = 2
"""A request whose server cannot be reached goes to another one. smg does not tell that from an answer of 429 or 503,
which it tries once more too; with 1, requests would fail until it has noticed that a server is gone."""
CHECK_SECONDS = 1  # between two looks at a server
ANSWER_SECONDS = 3600  # the longest answer: smg's limit is on the whole of it, unlike HAProxy's


class Smg(Router):
    """Requests that begin alike go to the same server, by what smg remembers of the requests before."""

    title = "smg"

    def __init__(self, program: Path, folder: Path, port: int = 0) -> None:
        """Choose a port for its metrics, too; see `Router`."""
        super().__init__(program, folder, port)
        self._metrics = free_port({self.port})

    @property
    def ports(self) -> set[int]:
        """That of requests, and that of its metrics."""
        return {self.port, self._metrics}

    @property
    def metrics(self) -> str:
        """The address of its own metrics."""
        return f"http://{LOOPBACK}:{self._metrics}/metrics"

    def command(self, replicas: Sequence[Replica]) -> list[str]:
        """Return what is executed."""
        given: dict[str, object] = {
            "host": LOOPBACK,
            "port": self.port,
            "prometheus-host": LOOPBACK,
            "prometheus-port": self._metrics,
            "policy": "cache_aware",
            "retry-max-retries": TRIES,
            "cb-failure-threshold": 1,  # the second try must not ask the same server
            "cb-success-threshold": 1,
            "cb-timeout-duration-secs": CHECK_SECONDS,
            "health-check-interval-secs": CHECK_SECONDS,
            "health-check-timeout-secs": int(HEALTH_SECONDS),
            "health-failure-threshold": 2,
            "health-success-threshold": 1,
            "request-timeout-secs": max(ANSWER_SECONDS, int(SERVER_SECONDS)),
            "history-backend": "none",
            "log-level": "warn",
        }
        options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        workers = ["--worker-urls", *(one.url for one in replicas)]
        return [str(self.program), "launch", *options, "--disable-tokenizer-autoload", *workers]

    def sends_to(self, replica: Replica) -> bool:
        """Say whether it gives requests to a server."""
        worker = self._worker(replica)
        return worker is not None and worker["status"] == "ready" and bool(worker["is_healthy"])

    def drain(self, replica: Replica) -> None:
        """Let a server get no more requests."""
        if (worker := self._worker(replica)) is not None:
            self._ask("DELETE", f"/workers/{worker['id']}")

    def drained(self, replica: Replica) -> bool:
        """Say whether it knows a server no more: smg forgets one when its requests are done."""
        return self._worker(replica) is None

    def join(self, replica: Replica) -> None:
        """Let a server that was drained get requests again."""
        if self._worker(replica) is None:
            self._ask("POST", "/workers", {"url": replica.url})

    def _worker(self, replica: Replica) -> dict[str, Any] | None:
        workers: list[dict[str, Any]] = self._ask("GET", "/workers")["workers"]
        return next((one for one in workers if one["url"] == replica.url), None)

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{LOOPBACK}:{self.port}{path}", data, head, method=method)
        try:
            with urllib.request.urlopen(request, timeout=HEALTH_SECONDS) as answer:
                said: dict[str, Any] = json.load(answer)
                return said
        except urllib.error.HTTPError as exc:
            with exc:
                raise FleetError(f"smg: {method} {path} is answered {exc.code}: {exc.read().decode()[:200]}") from exc
