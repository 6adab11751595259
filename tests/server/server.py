"""A real server for tests: `python -m trimode.server` on free loopback ports, ended by its process id."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
from prometheus_client.parser import text_string_to_metric_families
from trimode.server.ports import free_port

START_SECONDS = 180.0  # on an idle machine a few; one that does not start at all ends sooner by itself
STOP_SECONDS = 30.0


def free_ports(count: int) -> list[int]:
    ports: list[int] = []
    while len(ports) < count:
        ports.append(free_port(ports))
    return ports


def runs(process: psutil.Process) -> bool:
    """Whether a process is there; a zombie counts as gone."""
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def children(process: psutil.Process, name: str) -> set[psutil.Process]:
    """The children of a process that run and have this name."""
    found = set()
    for child in process.children():
        with suppress(psutil.NoSuchProcess):  # it ended while it was looked at
            if child.name() == name and runs(child):
                found.add(child)
    return found


def wait_until(true: Callable[[], bool], otherwise: Callable[[], str], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.02)


class Server:
    """One `trimode.server` process; its output is in `log`. A context, at whose end it is stopped in order."""

    trusting: ssl.SSLContext | None = None
    """What a server that speaks TLS is asked with."""
    under: tuple[str, ...] = ()
    """What its command line is put behind, for a kind of server that runs under a limit or in other mounts."""
    python = sys.executable
    """The interpreter that serves; a kind of server has another one if tests run where none can be served."""

    def __init__(self, bundle: Path, log: Path, *options: str, **environment: str) -> None:
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)
        self.log = log
        command = [*self.under, self.python, "-m", "trimode.server", "--bundle", str(bundle), "--exit-timeout", "8"]
        command += ["--http-port", str(self.http_port), "--grpc-port", str(self.grpc_port)]
        command += ["--metrics-port", str(self.metrics_port), *options]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=out, env={**os.environ, **environment}, start_new_session=True
            )

    def __enter__(self) -> Self:
        """Wait until it serves."""
        self.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the server did not become ready:\n{self.log.read_text()}")
            time.sleep(0.05)

    def ready(self) -> bool:
        try:
            url = f"http{'s' if self.trusting else ''}://127.0.0.1:{self.http_port}/v2/health/ready"
            with urllib.request.urlopen(url, timeout=5, context=self.trusting) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as exc:
            exc.close()
            return False
        except OSError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """The value of one metric, summed over the labels not given; 0 when it is not there yet."""
        url = f"http{'s' if self.trusting else ''}://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=30, context=self.trusting) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def wait_metric(self, name: str, value: float, **labels: str) -> None:
        """Wait until a metric is `value`; metrics are published every tenth of a second."""
        wait_until(lambda: self.metric(name, **labels) == value, lambda: f"{name} is {self.metric(name, **labels)}")

    def settle(self) -> None:
        """Wait until nothing runs and everything is published."""
        self.wait_metric("trimode_requests_running", 0)
        time.sleep(0.25)

    @property
    def triton(self) -> psutil.Process:
        (found,) = children(psutil.Process(self.process.pid), "tritonserver")
        return found

    @property
    def stub(self) -> psutil.Process:
        (found,) = self.stubs
        return found

    @property
    def stubs(self) -> set[psutil.Process]:
        """Of each instance, one."""
        return children(self.triton, "triton_python_backend_stub")

    def shared_memory(self) -> list[Path]:
        return list(Path("/dev/shm").glob(f"trimode_*_{self.process.pid}_*"))

    def stop(self) -> int:
        """End it in order; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


def template_workers(server: Server) -> list[psutil.Process]:
    """The processes that render chat templates; one, once a chat needed it."""
    return [child for child in server.stub.children() if "trimode.text.template.worker" in child.cmdline()]
