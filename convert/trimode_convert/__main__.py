"""`python -m trimode_convert`. Says what to install where the converter's packages are not."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the converter; an installation of the client alone prints what it lacks."""
    try:
        from .cli import main as convert
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("trimode"):
            raise
        print(f"trimode_convert needs {exc.name}: pip install 'trimode[convert]' has it", file=sys.stderr)
        return 1
    return convert()


if __name__ == "__main__":
    sys.exit(main())
