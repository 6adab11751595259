"""`python -m scripts.image pin`, which make image-pin runs, and `check ROOT`, which make image-check runs.

Exit codes: 0 done, 1 it cannot be done here or failed, with the reason.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .build import Build, words_of
from .dockerfile import DockerfileError, read
from .pin import PinError, pin
from .serve import add_triton, build_and_ask, prepare
from .space import StepError, lacking

CONTEXT = Path(__file__).resolve().parents[2]
DOCKERFILE = CONTEXT / "build" / "Dockerfile"


def check(debian: Path) -> str:
    """Run the Dockerfile's steps in copies of a plain Debian, and return nano's answer.

    Raises:
        StepError, DockerfileError: a step failed, or cannot be read.
    """
    if reason := lacking():
        raise StepError(f"image-check: {reason}")
    dockerfile = read(DOCKERFILE)
    with tempfile.TemporaryDirectory(prefix="trimode-image-") as folder:
        Path(folder).chmod(0o755)
        build = Build(dockerfile, CONTEXT, debian, Path(folder), lambda text: print(text, flush=True))
        space = build.run()
        prepare(space.root, words_of(dockerfile.final, "ENTRYPOINT")[0])
        print("stand-ins: an entry point that executes what it is given, and the wheel's Triton", flush=True)
        add_triton(space, CONTEXT)
        return build_and_ask(space, dockerfile.final, CONTEXT)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.image", description="The container without Docker.")
    commands = parser.add_subparsers(dest="command", required=True)
    pinning = commands.add_parser("pin", help="write the base tag's digest into build/Dockerfile")
    pinning.add_argument("--dockerfile", type=Path, default=DOCKERFILE)
    pinning.add_argument("--registry", metavar="URL", help="(default: that of the FROM lines, over https)")
    checking = commands.add_parser("check", help="run the steps in a plain Debian, and ask nano")
    checking.add_argument("debian", type=Path, help="what scripts/fetch-debian-root prints")
    options = parser.parse_args(arguments)
    try:
        if options.command == "pin":
            print(f"{options.dockerfile}: {pin(options.dockerfile, options.registry)}")
        else:
            print(f"nano answers {check(options.debian.resolve())!r}")
    except (PinError, StepError, DockerfileError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
