"""The limits that the system sets for this process and what it starts: raised where it may, refused where too low.

Below these tritonserver aborts, or loads for ever, without naming the limit. Knows nothing of memory that is free.
"""

from __future__ import annotations

import logging
import resource
from dataclasses import dataclass
from pathlib import Path

from ...errors import ServeError

logger = logging.getLogger(__name__)

MIB = 2**20
OPEN_FILES = 65536  # as vLLM and other servers set it; each connection takes one here and one to tritonserver

KEPT_FILES = 96  # that are not for connections: an idle trimode-serve has 20 open, tritonserver 66


@dataclass(frozen=True)
class Need:
    """One limit: its name, the shell's option for it, the unit that this option counts in, and the least in units."""

    name: str
    number: int
    option: str
    unit: int
    least: int


NEEDS = (
    # An idle tritonserver has 66 open; with 64 it logs for ever that it cannot accept a connection.
    Need("open files", resource.RLIMIT_NOFILE, "ulimit -n", 1, 128),
    # Its address space took 1.5 GiB on 2 cores; the bundle's comes on top, see check_limits.
    Need("address space in KiB", resource.RLIMIT_AS, "ulimit -v", 1024, 2048 * 1024),
    # The shared memory file starts at 1 MiB and grows with the largest request.
    Need("file size in KiB", resource.RLIMIT_FSIZE, "ulimit -f", 1024, 64 * 1024),
)


def raise_file_limit() -> None:
    """Let this process and what it starts open OPEN_FILES files: a shell often allows 1024, too few for connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def affordable(http: int, grpc: int, metrics: int) -> tuple[int, int, int]:
    """Return how many connections of each kind the open files are enough for: the same share of what is given.

    An HTTP connection may take a file here and one to tritonserver, and so does one for metrics; those of gRPC share
    one connection to tritonserver.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files, wanted = soft - KEPT_FILES, 2 * http + grpc + 2 * metrics
    if soft == resource.RLIM_INFINITY or files >= wanted:
        return http, grpc, metrics
    share = max(files, 0) / wanted
    fewer = max(int(http * share), 1), max(int(grpc * share), 1), max(int(metrics * share), 1)
    logger.warning("at most %d HTTP, %d gRPC and %d metrics connections, for want of open files: see ulimit -n", *fewer)
    return fewer


def check_limits(bundle: Path) -> None:
    """Check that a server of `bundle` can start within the limits.

    Raises:
        ServeError: one is too low; the text names it and what is needed.
    """
    for need in NEEDS:
        soft, _ = resource.getrlimit(need.number)
        least = need.least
        if need.number == resource.RLIMIT_AS:
            least += sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file()) // need.unit
        if soft != resource.RLIM_INFINITY and soft < least * need.unit:
            raise ServeError(
                f"the limit on {need.name} is {soft // need.unit} ({need.option}), the server needs at least {least}"
            )
