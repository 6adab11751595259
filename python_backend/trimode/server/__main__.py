"""`python -m trimode.server` is the `trimode-serve` command; says what to install where packages are missing."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the server; an installation of the client alone prints what it lacks."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the server ends in order; Python would print a traceback
    try:
        from .cli import main as serve
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("trimode"):
            raise
        print(f"trimode-serve needs {exc.name}: in a checkout, pip install '.[serve,convert]' has it", file=sys.stderr)
        return 1
    return serve()


if __name__ == "__main__":
    sys.exit(main())
