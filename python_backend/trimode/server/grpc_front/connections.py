"""Room for new gRPC connections: those that are silent of the caller that has the most are ended before all are taken.

gRPC's core holds the sockets, refuses whoever comes when there are too many, and says nothing about those it has. So
they are found among the files of this process. One is ended by shutting its socket down, which for gRPC looks as if its
caller had left. Knows sockets; which of them have running requests, others say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..caller import address_in, neighbours

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 0.5  # between looks; callers try to connect again after a second
RESERVE = 8  # one in so many connections is kept free for new ones
LEAST_SILENT_MS = 1000  # of a connection that is ended: one that was just opened may be about to ask
OPEN_FILES = Path("/proc/self/fd")
TCP_INFO_SENT, TCP_INFO_RECEIVED = 44, 52
"""Where the kernel's `struct tcp_info` has the milliseconds since data were last sent and received, 32 bits each."""
TCP_INFO_BYTES = 104  # of the struct, as every kernel since 2.6 has it

Peer = tuple[str, int]
"""The address of a caller as ipaddress writes it, and its port."""


@dataclass(frozen=True)
class Held:
    """A connection that gRPC holds: its other end, whose it is (caller.neighbours), and how long it has been silent."""

    peer: Peer
    caller: str
    silent_ms: int


def peer_in(text: str) -> Peer | None:
    """Return the peer in gRPC's name for it, such as `ipv4:10.0.0.7:51234`; None where it has no address."""
    host, _, port = text.partition(":")[2].rpartition(":")
    address = address_in(host.replace("%5B", "[").replace("%5D", "]"))
    return (str(address), int(port)) if address is not None and port.isdigit() else None


def to_end(held: Sequence[Held], busy: Collection[Peer], most: int) -> list[Held]:
    """Return the connections to end, so that of `most` one in RESERVE is free.

    Each is the most silent one of the caller that has the most then. One that is busy, or was not silent for
    LEAST_SILENT_MS, is kept.
    """
    left = Counter(one.caller for one in held)
    idle: dict[str, list[Held]] = {}
    for one in sorted(held, key=lambda one: one.silent_ms):
        if one.silent_ms >= LEAST_SILENT_MS and one.peer not in busy:
            idle.setdefault(one.caller, []).append(one)
    found: list[Held] = []
    while idle and len(held) - len(found) > most - max(most // RESERVE, 1):
        greediest = max(idle, key=lambda caller: left[caller])
        found.append(idle[greediest].pop())
        left[greediest] -= 1
        if not idle[greediest]:
            del idle[greediest]
    return found


class Connections:
    """Looks after the connections of the gRPC server at `port`, of which there are `most`."""

    def __init__(self, port: int, most: int, busy: Callable[[], Collection[Peer]]) -> None:
        """Look after none yet; `busy` says which peers have running requests."""
        self._port = port
        self._most = most
        self._busy = busy

    async def watch(self) -> None:
        """Make room until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                # In a thread: with a thousand connections it takes 30 ms.
                ended = await asyncio.to_thread(self.make_room, self._busy())
            except OSError:  # no file is left to look with, which may pass
                continue
            except Exception:
                logger.exception("gRPC's connections could not be looked after")
                continue
            if ended:
                logger.warning("%d silent gRPC connections made room, at most %d may be open", ended, self._most)

    def make_room(self, busy: Collection[Peer]) -> int:
        """End connections, if too few more could be opened; return how many."""
        if len(os.listdir(OPEN_FILES)) <= self._most - max(self._most // RESERVE, 1):
            return 0  # other files are among these: there are fewer connections
        with contextlib.ExitStack() as stack:
            found: dict[Peer, socket.socket] = {}
            held: list[Held] = []
            for copy in sockets():
                stack.callback(copy.close)
                if one := self._held(copy):
                    held.append(one)
                    found[one.peer] = copy
            chosen = to_end(held, busy, self._most)
            for one in chosen:
                with contextlib.suppress(OSError):  # it has just ended
                    found[one.peer].shutdown(socket.SHUT_RDWR)
        return len(chosen)

    def _held(self, copy: socket.socket) -> Held | None:
        """Return what a socket is, if it is a connection to this server."""
        if copy.family not in (socket.AF_INET, socket.AF_INET6) or copy.type != socket.SOCK_STREAM:
            return None
        try:
            if copy.getsockname()[1] != self._port:
                return None
            peer = copy.getpeername()
            info = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        except OSError:  # it listens, or has just ended
            return None
        silent = min(struct.unpack_from("=I", info, at)[0] for at in (TCP_INFO_SENT, TCP_INFO_RECEIVED))
        return Held((str(address_in(peer[0])), peer[1]), neighbours(peer), silent)


def sockets() -> Iterator[socket.socket]:
    """Yield copies of this process's sockets: each stays the one that was looked at, whatever happens to the first."""
    for name in os.listdir(OPEN_FILES):
        try:
            copy = os.dup(int(name))
        except OSError:  # it was closed meanwhile
            continue
        try:
            yield socket.socket(fileno=copy)
        except OSError:  # no socket
            os.close(copy)
