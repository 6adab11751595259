"""Gives an image that has TensorRT's libraries alone its Python binding; run while build/Dockerfile is built.

`requirement MAJOR` prints what pip has to install for the libraries that are there, `wrap` lets `import tensorrt` work.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from pathlib import Path

PACKAGE = "tensorrt-cu13-bindings"
WRAPPER = "from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__\n"


def version_of(number: int) -> str:
    """Return "major.minor.patch" of what getInferLibVersion gives, which has two digits for minor and patch each."""
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def requirement(number: int, major: int) -> str:
    """Return the binding as pip takes it, whatever its build.

    Raises:
        ValueError: the libraries are of another major version than this project is written against.
    """
    version = version_of(number)
    if number // 10000 != major:
        raise ValueError(f"TensorRT: expected {major}.x, the image has {version}; see docs/compatibility.md")
    return f"{PACKAGE}=={version}.*"


def library_version(major: int) -> int:
    """Ask the libraries for their version.

    Raises:
        OSError: libnvinfer of this major version is not there.
    """
    return int(ctypes.CDLL(f"libnvinfer.so.{major}").getInferLibVersion())


def wrap(packages: Path) -> None:
    """Write the package `tensorrt` unless something has it already."""
    target = packages / "tensorrt" / "__init__.py"
    if not target.exists():
        target.parent.mkdir()
        target.write_text(WRAPPER, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Do what the arguments say; 2 for anything but `requirement MAJOR` and `wrap`."""
    match arguments:
        case ["requirement", major] if major.isdigit():
            try:
                print(requirement(library_version(int(major)), int(major)))
            except (OSError, ValueError) as exc:
                print(f"tensorrt_binding: {exc}", file=sys.stderr)
                return 1
        case ["wrap"]:
            wrap(Path(sysconfig.get_paths()["purelib"]))
        case _:
            print("tensorrt_binding: expected `requirement MAJOR` or `wrap`", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
