"""`make fleet`: several real servers of one bundle behind HAProxy, on loopback, with deploy/haproxy/haproxy.cfg.

A replica is replaced without a failed request: it is drained first, as a pod is before it ends. Knows command lines,
processes and HAProxy's socket; nothing of what is asked.
"""

from __future__ import annotations

import argparse
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from trimode.server.ports import LOOPBACK, free_port

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
BACKEND = "servers"
SOCKET = "haproxy.sock"  # in the fleet's folder, as the configuration says; a path of a socket has 107 bytes at most
READY_SECONDS = 600.0  # for a server to start: as its own --ready-timeout
ANSWER_SECONDS = 300  # that a request may still take when its server is to end
STOP_SECONDS = ANSWER_SECONDS + 30.0  # until a server that was asked to end must have ended
POLL_SECONDS = 0.05
HEALTH_SECONDS = 5.0  # for an answer to a question about health


class FleetError(Exception):
    """A server or HAProxy did not do what it should; the text says which, and has the end of its log."""


@dataclass
class Replica:
    """One server: its name in HAProxy, its ports, and its process while it runs."""

    name: str
    http: int
    grpc: int
    metrics: int
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def ready(self) -> bool:
        """Say whether it takes requests."""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.http}/health", timeout=HEALTH_SECONDS) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as exc:
            exc.close()
            return False
        except OSError:
            return False


class Fleet:
    """The servers and HAProxy; a context that starts all of them and leaves none behind."""

    def __init__(self, bundle: Path, replicas: int, folder: Path, haproxy: Path, *, port: int = 0, **how: str) -> None:
        """Choose ports; nothing runs yet.

        Args:
            bundle: what every server serves.
            replicas: how many servers there are.
            folder: an empty one with a short path, for HAProxy's socket and configuration, and for logs.
            haproxy: the program.
            port: where HAProxy listens; 0 takes a free one.
            how: `python`, the interpreter that serves, if it is another one; `config`, HAProxy's configuration.
        """
        self.folder = folder
        self.port = port or free_port(())
        self.haproxy = haproxy
        self.command = [how.get("python", sys.executable), "-m", "trimode.server", "--bundle", str(bundle)]
        self._config = Path(how.get("config", CONFIG)).read_text(encoding="utf-8")
        self._router: subprocess.Popen[bytes] | None = None
        taken = {self.port}
        self.replicas: list[Replica] = []
        for number in range(replicas):
            name, ports = f"r{number}", []
            for _ in range(3):
                ports.append(free_port(taken))
                taken.add(ports[-1])
            http, grpc, metrics = ports
            self.replicas.append(Replica(name, http, grpc, metrics, folder / f"{name}.log"))

    def __enter__(self) -> Fleet:
        """Start all servers at once, and HAProxy once they serve.

        Raises:
            FleetError: one of them does not start.
        """
        try:
            for replica in self.replicas:
                self.start(replica)
            for replica in self.replicas:
                self.wait_ready(replica)
            self._start_router()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End HAProxy, then the servers."""
        if self._router is not None:
            self._router.terminate()
            self._router.wait(STOP_SECONDS)
        running = [one.process for one in self.replicas if one.process is not None and one.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)  # at once: nobody is left who waits for an answer
        for process in running:
            process.wait(STOP_SECONDS)

    def configuration(self) -> str:
        """Return HAProxy's configuration with the addresses of this fleet."""
        kept = re.sub(r"^    server .*\n", "", self._config, flags=re.MULTILINE)
        kept = re.sub(r"^(    bind ).*$", rf"\g<1>{LOOPBACK}:{self.port}", kept, flags=re.MULTILINE)
        return kept + "".join(f"    server {one.name} {LOOPBACK}:{one.http}\n" for one in self.replicas)

    def start(self, replica: Replica) -> None:
        """Start the process of a replica, which must not have one that runs."""
        ports = {"http": replica.http, "grpc": replica.grpc, "metrics": replica.metrics}
        words = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
        words += ["--trusted-proxies", LOOPBACK, "--exit-timeout", str(ANSWER_SECONDS)]
        with replica.log.open("ab") as out:
            replica.process = subprocess.Popen([*self.command, *words], stdout=out, stderr=out, start_new_session=True)

    def wait_ready(self, replica: Replica) -> None:
        """Wait until a replica takes requests.

        Raises:
            FleetError: it ended, or takes too long.
        """

        def ready() -> bool:
            if replica.process is None or replica.process.poll() is not None:
                raise FleetError(f"{replica.name} ended: {_end_of(replica.log)}")
            return replica.ready()

        _wait(ready, READY_SECONDS, lambda: f"{replica.name} is not ready: {_end_of(replica.log)}")

    def replace(self, replica: Replica) -> None:
        """Put a new process in a replica's place, after it was drained: no request fails for it.

        Raises:
            FleetError: the former one does not end, or the new one does not start.
        """
        self.tell(f"set server {BACKEND}/{replica.name} state drain")
        _wait(lambda: self.connections(replica) == 0, STOP_SECONDS, lambda: f"{replica.name} still has requests")
        if replica.process is not None:
            replica.process.send_signal(signal.SIGTERM)
            replica.process.wait(STOP_SECONDS)
        self.start(replica)
        self.wait_ready(replica)
        self.tell(f"set server {BACKEND}/{replica.name} state ready")
        _wait(lambda: self.status(replica) == "UP", READY_SECONDS, lambda: f"{replica.name} is not asked again")

    def tell(self, command: str) -> str:
        """Give HAProxy a command, and return what it says."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(HEALTH_SECONDS)
            asked.connect(str(self.folder / SOCKET))
            asked.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: asked.recv(65536), b"")).decode()

    def status(self, replica: Replica) -> str:
        """Return what HAProxy thinks of a replica, such as UP, DOWN or DRAIN."""
        return self._row(replica)["status"]

    def connections(self, replica: Replica) -> int:
        """Return how many requests HAProxy has at a replica."""
        return int(self._row(replica)["scur"])

    def _row(self, replica: Replica) -> dict[str, str]:
        head, *rows = self.tell("show stat").removeprefix("# ").strip().splitlines()
        for row in rows:
            found = dict(zip(head.split(","), row.split(","), strict=False))
            if (found["pxname"], found["svname"]) == (BACKEND, replica.name):
                return found
        raise FleetError(f"HAProxy does not know {replica.name}")

    def _start_router(self) -> None:
        (self.folder / "haproxy.cfg").write_text(self.configuration(), encoding="utf-8")
        log = self.folder / "haproxy.log"
        with log.open("wb") as out:
            self._router = subprocess.Popen(
                [str(self.haproxy), "-f", "haproxy.cfg"],
                stdout=out,
                stderr=out,
                cwd=self.folder,
                start_new_session=True,
            )

        def up() -> bool:
            if self._router is None or self._router.poll() is not None:
                raise FleetError(f"HAProxy ended: {_end_of(log)}")
            try:
                return all(self.status(one).startswith("UP") for one in self.replicas)
            except OSError:
                return False

        _wait(up, READY_SECONDS, lambda: f"HAProxy does not serve: {_end_of(log)}")


def _wait(true: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise FleetError(otherwise())
        time.sleep(POLL_SECONDS)


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-800:] if log.exists() else "no log"


def main(arguments: list[str] | None = None) -> int:
    """Run the fleet until SIGINT or SIGTERM; SIGHUP replaces one server after the other. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.fleet", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="engine bundle to serve")
    parser.add_argument("--replicas", type=int, default=3, metavar="N", help="servers [%(default)s]")
    parser.add_argument("--port", type=int, default=8000, help="of the one address [%(default)s]")
    options = parser.parse_args(arguments)
    if not 1 <= options.replicas <= 64:
        parser.error(f"--replicas must be between 1 and 64, got {options.replicas}")
    fetched = subprocess.run([ROOT / "scripts" / "fetch-haproxy"], stdout=subprocess.PIPE, text=True)
    if fetched.returncode:
        return 1
    haproxy = Path(fetched.stdout.strip())
    replacing: list[int] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill must leave no server behind
    signal.signal(signal.SIGHUP, lambda number, _: replacing.append(number))
    try:
        with (
            tempfile.TemporaryDirectory(prefix="fleet-", dir="/tmp") as folder,
            Fleet(options.bundle, options.replicas, Path(folder), haproxy, port=options.port) as fleet,
        ):
            print(f"{len(fleet.replicas)} servers behind http://{LOOPBACK}:{fleet.port}; logs in {folder}", flush=True)
            for one in fleet.replicas:
                print(f"  {one.name}  http://{LOOPBACK}:{one.http}  metrics at {one.metrics}", flush=True)
            while True:
                time.sleep(POLL_SECONDS)
                for one in fleet.replicas if replacing else ():
                    fleet.replace(one)
                    print(f"  {one.name} was replaced", flush=True)
                replacing.clear()
    except FleetError as exc:
        print(f"fleet: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
