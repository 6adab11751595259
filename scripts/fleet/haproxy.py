"""HAProxy in front of a fleet, with deploy/haproxy/haproxy.cfg. Knows its configuration and its socket."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from pathlib import Path

from trimode.server.ports import LOOPBACK

from .replica import HEALTH_SECONDS, Replica
from .router import Router
from .waiting import FleetError

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
BACKEND = "servers"
SOCKET = "haproxy.sock"  # in the folder, as the configuration says


class HAProxy(Router):
    """Requests that begin alike go to the same server."""

    title = "HAProxy"

    @property
    def metrics(self) -> str:
        """The address of its own metrics."""
        return f"http://{LOOPBACK}:{self.port}/metrics"

    def configuration(self, replicas: Sequence[Replica]) -> str:
        """Return the configuration with these addresses."""
        kept = re.sub(r"^    server .*\n", "", CONFIG.read_text(encoding="utf-8"), flags=re.MULTILINE)
        kept = re.sub(r"^(    bind ).*$", rf"\g<1>{LOOPBACK}:{self.port}", kept, flags=re.MULTILINE)
        return kept + "".join(f"    server {one.name} {LOOPBACK}:{one.http}\n" for one in replicas)

    def command(self, replicas: Sequence[Replica]) -> list[str]:
        """Write the configuration, and return what is executed in its folder."""
        (self.folder / "haproxy.cfg").write_text(self.configuration(replicas), encoding="utf-8")
        return [str(self.program), "-f", "haproxy.cfg"]

    def sends_to(self, replica: Replica) -> bool:
        """Say whether it gives requests to a server."""
        return self.status(replica).startswith("UP")

    def drain(self, replica: Replica) -> None:
        """Let a server get no more requests."""
        self.tell(f"set server {BACKEND}/{replica.name} state drain")

    def drained(self, replica: Replica) -> bool:
        """Say whether it has no request at a server."""
        return int(self._row(replica)["scur"]) == 0

    def join(self, replica: Replica) -> None:
        """Let a server that was drained get requests again."""
        self.tell(f"set server {BACKEND}/{replica.name} state ready")

    def tell(self, command: str) -> str:
        """Give HAProxy a command, and return what it says."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(HEALTH_SECONDS)
            asked.connect(str(self.folder / SOCKET))
            asked.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: asked.recv(65536), b"")).decode()

    def status(self, replica: Replica) -> str:
        """Return what HAProxy thinks of a server, such as UP, DOWN or DRAIN."""
        return self._row(replica)["status"]

    def _row(self, replica: Replica) -> dict[str, str]:
        head, *rows = self.tell("show stat").removeprefix("# ").strip().splitlines()
        for row in rows:
            found = dict(zip(head.split(","), row.split(","), strict=False))
            if (found["pxname"], found["svname"]) == (BACKEND, replica.name):
                return found
        raise FleetError(f"HAProxy does not know {replica.name}")
