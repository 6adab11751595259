"""A tritonserver as NVIDIA's container has it, in folders of its own; the wheel's server stands for it."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def install_triton(root: Path, script: str) -> dict[str, str]:
    """Lay it out in `root` and return the environment of a server that finds it.

    Args:
        script: a shell's line that starts it: "$0" is the program, "$@" its arguments.
    """
    (wheel,) = Path(sys.prefix).glob("lib/python3.*/site-packages/pytriton/tritonserver")
    stub = wheel / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
    (backend := root / "backends" / "python").mkdir(parents=True)
    for file in (*(wheel / "backends" / "python").iterdir(), stub):
        (backend / file.name).symlink_to(file)
    (binary := root / "bin" / "tritonserver").parent.mkdir()
    binary.write_text(f"#!/bin/sh\nexec sh -c '{script}' '{wheel}/bin/tritonserver' \"$@\"\n")
    binary.chmod(0o755)
    libraries = f"{sysconfig.get_config_var('LIBDIR')}:{wheel.parents[1] / 'nvidia_pytriton.libs'}"
    return {"TRITONSERVER_BIN": str(binary), "LD_LIBRARY_PATH": libraries}
