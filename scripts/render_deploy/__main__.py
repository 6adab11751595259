"""`python -m scripts.render_deploy`: writes the rendered files of deploy/, or with --check says which is out of date.

Exit codes: 0 written or up to date, 1 a file is out of date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from . import dashboards, recipes, schema

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMMAND = "python -m scripts.render_deploy"
PARTS: tuple[Callable[[], dict[str, str]], ...] = (schema.files, recipes.files, dashboards.files)
"""Each gives texts by their path below deploy/."""


def rendered() -> dict[str, str]:
    """Return the text of every file by its path below deploy/."""
    return {name: text for part in PARTS for name, text in part().items()}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the rendered files of deploy/.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    parser.add_argument("--out", type=Path, default=DEPLOY, metavar="DIR", help="the folder deploy/")
    options = parser.parse_args(arguments)
    files = {options.out / name: text for name, text in rendered().items()}
    if not options.check:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path} is out of date; run: {COMMAND}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
