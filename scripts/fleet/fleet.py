"""Several servers behind a router: they start and end together, and one is replaced without a failed request."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from trimode.server.ports import free_port

from .replica import READY_SECONDS, STOP_SECONDS, Replica
from .router import Router
from .signals import SIGNALS, held_back
from .waiting import FleetError, wait

AT_ONCE_SECONDS = 60.0  # until a server must have ended that nobody waits for


class Fleet:
    """The servers and their router; a context that starts all of them and leaves none behind."""

    def __init__(
        self,
        bundle: Path,
        replicas: int,
        router: Router,
        *,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Choose ports; nothing runs yet.

        Args:
            bundle: what every server serves.
            replicas: how many servers there are.
            router: what is in front of them; their logs are in its folder.
            python: the interpreter that serves.
            environment: variables of every server, such as TRIMODE_MAX_QUEUE, beside this process's own.
        """
        self.router = router
        self.command = [python, "-m", "trimode.server", "--bundle", str(bundle)]
        self.environment = dict(environment or {})
        taken = set(router.ports)
        self.replicas: list[Replica] = []
        for number in range(replicas):
            name, ports = f"r{number}", []
            for _ in range(3):
                ports.append(free_port(taken))
                taken.add(ports[-1])
            http, grpc, metrics = ports
            self.replicas.append(Replica(name, http, grpc, metrics, router.folder / f"{name}.log"))

    @property
    def port(self) -> int:
        """The port of the one address."""
        return self.router.port

    def __enter__(self) -> Fleet:
        """Start all servers at once, and the router once they serve.

        Raises:
            FleetError: one of them does not start.
        """
        try:
            for replica in self.replicas:
                self.start(replica)
            for replica in self.replicas:
                replica.wait_ready()
            self.router.start(self.replicas)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the router, then the servers at once, since nobody waits for an answer. Signals wait meanwhile."""
        with held_back(SIGNALS):
            self.router.end()
            for replica in self.replicas:
                replica.ask_to_end(at_once=True)
            for replica in self.replicas:
                replica.end(AT_ONCE_SECONDS)

    def start(self, replica: Replica) -> None:
        """Start the process of a server, which must not have one that runs."""
        replica.start(self.command, self.environment)

    def replace(self, replica: Replica) -> None:
        """Put a new process in a server's place, after it was drained: no request fails for it.

        A server that cannot be drained gets requests again. One that does not end is killed, which cuts its answers.

        Raises:
            FleetError: it was not replaced, or not without a cut; the other servers go on.
        """
        ended = True
        if replica.runs():
            try:
                self.router.drain(replica)
                wait(lambda: self.router.drained(replica), STOP_SECONDS, lambda: f"{replica.name} still has requests")
            except (FleetError, OSError) as exc:
                with suppress(FleetError, OSError):  # the first error says what went wrong
                    self.router.join(replica)
                raise FleetError(f"{replica.name} was not replaced: {exc}") from exc
            replica.ask_to_end()
            ended = replica.end()
        self.start(replica)
        try:
            replica.wait_ready()
            self.router.join(replica)
            sent_to = f"{self.router.title} does not send to {replica.name}"
            wait(lambda: self.router.sends_to(replica), READY_SECONDS, lambda: sent_to)
        except OSError as exc:
            raise FleetError(f"{self.router.title} does not answer: {exc}") from exc
        if not ended:
            raise FleetError(f"{replica.name} was replaced, and killed before: it did not end in {STOP_SECONDS:.0f} s")

    def replace_all(self) -> Iterator[Replica]:
        """Replace one server after the other, those first that do not run; give each that is done.

        Raises:
            FleetError: one of them was not replaced. Those after it stay, since they might fail in the same way.
        """
        for replica in sorted(self.replicas, key=Replica.runs):
            self.replace(replica)
            yield replica
