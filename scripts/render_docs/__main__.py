"""`python -m scripts.render_docs`: writes docs/reference/, or with --check says which page is out of date.

Exit codes: 0 written or up to date, 1 a page is out of date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from . import cli, configuration, counters, errors, metrics, openai, parameters

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
COMMAND = "python -m scripts.render_docs"
PAGES: dict[str, Callable[[], str]] = {
    "parameters.md": parameters.page,
    "counters.md": counters.page,
    "metrics.md": metrics.page,
    "configuration.md": configuration.page,
    "errors.md": errors.page,
    "cli.md": cli.page,
    "openai.md": openai.page,
}
NOTE = f"<!-- Written by `{COMMAND}` from the tables in the code; change those, not this page. -->\n"


def rendered() -> dict[str, str]:
    """Return the text of every page by its file's name."""
    return {name: NOTE + "\n" + page() for name, page in PAGES.items()}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write docs/reference/ from the tables in the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is out of date")
    parser.add_argument("--out", type=Path, default=REFERENCE, metavar="DIR", help="folder of the pages")
    options = parser.parse_args(arguments)
    pages = rendered()
    if not options.check:
        options.out.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            (options.out / name).write_text(text, encoding="utf-8")
        return 0
    paths = {options.out / name: text for name, text in pages.items()}
    stale = [path for path, text in paths.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path} is out of date; run: {COMMAND}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
