"""From `make serve` on a built bundle to ready, and what memory the server holds then."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import asdict

import psutil
from trimode.bundle.manifest import Manifest
from trimode_client import Client
from trimode_client.local_server import free_ports

from ..common import PROJECT
from ..common.claims import Claim
from ..common.markdown import spread
from ..common.progress import MeasureError
from ..common.statistics import Spread
from . import Context, Data, Found, Part

TIMES = 3
PATIENCE = 120.0
STOP_SECONDS = 30.0
"""For the server to end after SIGTERM; then it is killed."""
MIB = 2**20
MOST_SECONDS = 3.0


def measure(context: Context) -> dict[str, Data]:
    """Start and stop the server a few times with make, as a user does; return seconds to ready and memory."""
    manifest = Manifest.load(context.options.bundle)
    taken: list[float] = []
    held: dict[str, float] = {}
    for number in range(TIMES):
        seconds, held = _start(context.options.model, manifest.precision)
        taken.append(seconds)
        context.progress((number + 1) / TIMES)
    weights = sum(size for name, size in manifest.files.items() if name.endswith((".data", ".onnx")))
    found = {"seconds": asdict(Spread.of(taken)), "times": TIMES, "memory_mib": held, "weights_mib": weights / MIB}
    return {"startup": found}


def _start(model: str, precision: str) -> tuple[float, dict[str, float]]:
    while (port := free_ports(1)[0]) > 65000:  # make serve takes the two after it too
        pass
    command = ["make", "serve", f"MODEL={model}", f"PRECISION={precision}", f"PORT={port}"]
    began = time.monotonic()
    # A session of its own, so that the signal reaches the server and nobody else.
    process = subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        with Client(f"127.0.0.1:{port}", "http") as http:
            while not http.health().ok:
                if process.poll() is not None or time.monotonic() - began > PATIENCE:
                    raise MeasureError("make serve did not become ready")
                time.sleep(0.02)
        seconds = time.monotonic() - began
        return seconds, memory(process.pid)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End make and the server that it started."""
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def memory(root: int) -> dict[str, float]:
    """Return MiB by the name of each process that descends from `root`, itself included; of shared pages its share."""
    found: dict[str, float] = {}
    top = psutil.Process(root)
    for process in (top, *top.children(recursive=True)):
        with contextlib.suppress(psutil.Error):  # it ended while it was looked at
            name = process.name()
            found[name] = round(found.get(name, 0.0) + process.memory_full_info().pss / MIB, 1)
    return found


def section(found: Found) -> str:
    """Return time to ready, and memory."""
    startup = found["startup"]
    held_by = ", ".join(f"{name} {mib:g}" for name, mib in startup["memory_mib"].items())
    return f"""## Start-up and memory

`make serve` on a built bundle is ready after {spread(startup["seconds"])} s, {startup["times"]} times. Memory then, in MiB, by process (what
pages they share is divided among them): {held_by}. The weights are {startup["weights_mib"]:.0f} MiB; the engine that holds
them is in triton_python_backend_stub, and there alone.
"""  # noqa: E501


def claims(found: Found) -> list[Claim]:
    """Return how soon the server must be ready."""
    start = found["startup"]["seconds"]["median"]
    text = f"make serve on a built bundle is ready after {start:.1f} s, {MOST_SECONDS:g} at most"
    return [Claim(text, start <= MOST_SECONDS)]


PART = Part("startup", "starts with make serve", ("startup",), 20, measure, section, claims, fixed=True)
