"""What is copied into this project's own packages: by the files in folders called `vendor`, which say it themselves.

`NAME.js` begins with a comment of names and versions; `NAME.txt` beside it says each one's address and licence, with
the licences' texts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

SPDX = {"Apache License": "Apache-2.0", "MIT License": "MIT"}
SAID = re.compile(r"^(\w+), (https://\S+),.* is under the ([A-Z]\w+ License):$", re.MULTILINE)


class Vendored(NamedTuple):
    """A library that is copied in. `licence` is SPDX; `text` is that of the file, with all of its licences."""

    name: str
    version: str
    licence: str
    address: str
    text: str


def vendored(root: Path) -> list[Vendored]:
    """Read all folders called `vendor` below a folder.

    Raises:
        KeyError: a licence, or the version of a library, is not known.
        FileNotFoundError: a file there has no notice beside it.
    """
    found = []
    for path in sorted(root.rglob("vendor/*")):
        if path.suffix == ".txt":
            continue
        text = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
        first = path.read_text(encoding="utf-8").partition(":")[0]
        versions = dict(re.findall(r"(\w+) (\d[\d.]*)", first))
        found += [Vendored(name, versions[name], SPDX[kind], page, text) for name, page, kind in SAID.findall(text)]
    return found
