"""Where tritonserver is installed, and the command line that starts it on a model repository.

A container's or system's own server is preferred to the one inside the nvidia-pytriton wheel (Triton 2.51.0).
Knows nothing of what happens once it runs.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ServeError
from .launch.private_folder import plain_path, plain_python
from .ports import Ports

PACKAGE = Path(__file__).resolve().parents[1]

SYSTEM_BINARY = Path("/opt/tritonserver/bin/tritonserver")
STUB = "triton_python_backend_stub"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
NEWEST_FOR_WHEEL = (3, 12)
"""The newest Python that the wheel's server works with: it misreads the arrays of numpy 2, and numpy 1.26 ends here."""
EXIT_SECONDS = 1  # for requests to finish when somebody else ends tritonserver; we end it when none runs
ADMIN_KEY_BYTES = 24  # 192 random bits, too many to guess
INSTALL_HINT = "Install the wheel: pip install --no-deps nvidia-pytriton==0.7.0, or set TRITONSERVER_BIN"


@dataclass(frozen=True)
class Installation:
    """A tritonserver that can be started.

    Attributes:
        binary: the program.
        options, environment: what it needs on this machine.
    """

    binary: Path
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def command(
        self, repository: Path, ports: Ports, *, ready_timeout: int, shm_prefix: str, talkative: bool = False
    ) -> list[str]:
        """Return the command line.

        On loopback ports, where every user of the machine can call it, Triton refuses what administers it without a
        key; the key is on the command line, since Triton reads it nowhere else. Sockets in a private folder need none.

        Args:
            repository: the model repository to serve.
            ports: where to listen.
            ready_timeout: seconds that the backend may take to load the model.
            shm_prefix: what the names of the server's shared memory files begin with.
            talkative: let it log what only informs, too.
        """
        admin = f"model-repository,shared-memory,trace,logging:admin-key={secrets.token_urlsafe(ADMIN_KEY_BYTES)}"
        restricted = () if ports.sockets else (f"--http-restricted-api={admin}", f"--grpc-restricted-protocol={admin}")
        return [
            str(self.binary),
            *self.options,
            f"--model-repository={repository}",
            "--disable-auto-complete-config",  # completing it would start every model twice
            "--model-control-mode=none",
            f"--http-address={ports.http_address}",
            f"--grpc-address={ports.grpc_address}",
            f"--metrics-address={ports.metrics_address}",
            f"--http-port={ports.http}",
            f"--grpc-port={ports.grpc}",
            f"--metrics-port={ports.metrics}",
            *restricted,
            f"--exit-timeout-secs={EXIT_SECONDS}",
            f"--log-info={str(talkative).lower()}",
            f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
            f"--backend-config=python,stub-timeout-seconds={ready_timeout}",
        ]


def find(folder: Path, environment: Mapping[str, str] = os.environ) -> Installation:
    """Find a server: $TRITONSERVER_BIN, /opt/tritonserver, PATH, then the wheel.

    Args:
        folder: where files are linked together that Triton needs in one place, or under a plain name.
        environment: the variables to search in; the server inherits them.

    Raises:
        ServeError: there is none, or it cannot run here.
    """
    prefix, packages = plain_python(folder, PACKAGE)
    # The stub takes its packages from the first python3 on PATH.
    prepared = {**environment, "PATH": f"{prefix}/bin:{environment.get('PATH', os.defpath)}"}
    if named := environment.get("TRITONSERVER_BIN"):
        if not os.access(named, os.X_OK):
            raise ServeError(f"TRITONSERVER_BIN names {named}, which is not a program")
        return _installed(Path(named), folder, prepared)
    if os.access(SYSTEM_BINARY, os.X_OK):
        return _installed(SYSTEM_BINARY, folder, prepared)
    if found := shutil.which("tritonserver", path=environment.get("PATH")):
        return _installed(Path(found), folder, prepared)
    return _from_wheel(packages, folder, prepared)


def _installed(binary: Path, folder: Path, environment: dict[str, str]) -> Installation:
    """Use a container's or system's server, with the backends of its own installation if it has them."""
    backends = binary.resolve().parents[1] / "backends"
    stub = backends / "python" / STUB
    options: tuple[str, ...] = ()
    if stub.is_file():
        _check_python(stub)
        backends = plain_path(backends, folder, "backends")
        options = (f"--backend-directory={backends}",)  # so that the stub that was checked is the one that runs
    return Installation(binary, options, environment)


def _check_python(stub: Path) -> None:
    """Refuse a stub that is linked to another Python than this one; one that does not say is accepted."""
    linked = {found.decode() for found in re.findall(rb"libpython(3\.\d+)\.so", stub.read_bytes())}
    if linked and PYTHON not in linked:
        wanted = " or ".join(sorted(linked))
        raise ServeError(
            f"{stub} runs Python {wanted}, trimode is installed for Python {PYTHON}. "
            f"Create the virtual environment with python{wanted} (make PYTHON=python{wanted})"
        )


def _from_wheel(packages: Path, folder: Path, environment: dict[str, str]) -> Installation:
    wheel = packages / "pytriton" / "tritonserver"
    binary = wheel / "bin" / "tritonserver"
    if not binary.is_file():
        raise ServeError(f"no tritonserver found. {INSTALL_HINT}")
    if sys.version_info[:2] > NEWEST_FOR_WHEEL:
        raise ServeError(
            f"the wheel's tritonserver (2.51) works with numpy 1.26 only, which Python {PYTHON} does not have; "
            "use Python 3.11 or 3.12, or a newer tritonserver on PATH"
        )
    stub = wheel / "python_backend_stubs" / PYTHON / STUB
    if not stub.is_file():
        raise ServeError(f"{wheel} has no backend for Python {PYTHON}")
    backend = folder / "backends" / "python"
    backend.mkdir(parents=True)
    # Links, not copies: the files find their libraries relative to where they really are.
    for file in (*(wheel / "backends" / "python").glob("*"), stub):
        (backend / file.name).symlink_to(file)
    # The stub takes libpython from the library path.
    libraries = [sysconfig.get_config_var("LIBDIR") or "", str(packages / "nvidia_pytriton.libs")]
    prepared = {
        **environment,
        "LD_LIBRARY_PATH": ":".join(filter(None, [*libraries, environment.get("LD_LIBRARY_PATH", "")])),
    }
    _check_libraries(stub, prepared)
    options = (
        f"--backend-directory={folder / 'backends'}",
        "--pinned-memory-pool-byte-size=0",
        "--allow-gpu-metrics=false",
    )
    return Installation(binary, options, prepared)


def _check_libraries(stub: Path, environment: Mapping[str, str]) -> None:
    """Refuse a stub with a missing library: Triton 2.51 would stay at "loading" for ever."""
    if shutil.which("ldd", path=environment["PATH"]) is None:
        return
    listing = subprocess.run(["ldd", str(stub)], env=dict(environment), capture_output=True, text=True, timeout=30)
    if missing := [line.split()[0] for line in listing.stdout.splitlines() if "not found" in line]:
        raise ServeError(f"{stub} lacks the libraries {', '.join(missing)}")
