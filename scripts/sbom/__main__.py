"""`python -m scripts.sbom`, which make sbom runs: writes trimode.cdx.json and THIRD_PARTY_NOTICES.

Lists what the image's extras bring, by the metadata of an environment in which they are installed.
Exit codes: 0 written, 1 something is not installed there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.image.dockerfile import read

from .bom import PROJECT, document
from .installed import MissingError, closure
from .notices import notices
from .vendored import vendored

ROOT = Path(__file__).resolve().parents[2]
BINDING = "tensorrt-cu13-bindings"  # what the image's build adds; elsewhere it is missing


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    dockerfile = read(ROOT / "build" / "Dockerfile")
    (extras,) = (rest.partition("=")[2] for rest in dockerfile.final.of("ARG") if rest.startswith("EXTRAS="))
    parser = argparse.ArgumentParser(prog="python -m scripts.sbom", description="List what the image brings.")
    parser.add_argument("--packages", type=Path, required=True, metavar="DIR", help="an environment's site-packages")
    parser.add_argument("--extras", default=extras, help="those of the image (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "out" / "sbom", metavar="DIR")
    options = parser.parse_args(arguments)
    added = [BINDING] if any(options.packages.glob("tensorrt_cu13_bindings-*")) else []
    try:
        packages = closure(options.packages, [f"{PROJECT}[{options.extras}]", *added])
    except MissingError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    base, apache = dockerfile.final.image, (ROOT / "LICENSE").read_text(encoding="utf-8")
    inside = vendored(ROOT / "python_backend")
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("trimode.cdx.json", document(packages, inside, base)),
        ("THIRD_PARTY_NOTICES", notices(packages, inside, base, apache)),
    ):
        (options.out / name).write_text(text, encoding="utf-8")
        print(options.out / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
