"""`python -m scripts.picture_guide --bundle DIR`: draw three pictures, ask about them in each mode, write the guide.

The pictures are held out: training drew neither their fonts nor their layouts. They go into docs/images, and what a
server of the bundle answers into a section of docs/guides/images.md, wrong answers too. The example's row goes into the
README of the examples.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trimode_client import Client
from trimode_client.local_server import serving
from trimode_perf.common import NANO_VLM
from trimode_perf.common.markdown import table
from trimode_perf.common.results import read
from trimode_perf.quality.pictures import Scope, png
from trimode_train.data.pictures import PICTURES, Drawn

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
PAGE = ROOT / "docs" / "guides" / "images.md"
DOMAINS = ("word", "shape", "number")
"""Of the pictures: three that the checkpoint's card claims."""
SEED = 5
MOST_BYTES = 10_000
MODES: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    "diffusion": {"mode": "diffusion"},
    "self_speculation": {"mode": "self_speculation"},
    "quadratic": {"mode": "self_speculation", "speculation": "quadratic", "block_length": 8},
    "auto": {"mode": "auto"},
}
README = ROOT / "examples" / "README.md"
SHOWS = "a picture read in each mode, by a server of nano-vlm"
ROW = re.compile(r"^\| \[read_picture\.py\].*\n", re.MULTILINE)
SECTION = re.compile(r"## Try it on a laptop\n.*?<!-- /pictures -->\n\n", re.DOTALL)
NEXT = "## What a picture costs\n"
TEXT = """## Try it on a laptop

nano-vlm is nano with a small tower: it reads small drawn pictures, no photographs. Its
[card](../../checkpoints/nano-vlm/README.md) says which, and how often it is right in each mode.

```bash
make serve MODEL=nano-vlm
.venv/bin/python examples/read_picture.py {picture} "{question}"
```

`python -m scripts.picture_guide` drew these pictures, in fonts and layouts that training never drew, asked a server of
nano-vlm in each mode, and wrote down what it said, wrong answers too:

<!-- pictures -->
{table}
<!-- /pictures -->

"""


def drawn(scope: Scope, domains: Sequence[str] = DOMAINS, seed: int = SEED) -> list[Drawn]:
    """Draw one picture of each domain, of what a checkpoint was trained to read; the same seed gives the same ones.

    Pictures with much noise make large files and are left out.
    """
    endless = [scope.draw(PICTURES[name], f"guide {seed} {name}") for name in domains]
    return [next(one for one in pictures if len(png(one.pixels)) < MOST_BYTES) for pictures in endless]


def scope_of(checkpoint: Path) -> Scope:
    """Return what a checkpoint was trained to read."""
    return Scope.of(read(checkpoint / "training.json"))


def path_of(one: Drawn) -> Path:
    """Return the file of a picture."""
    return IMAGES / f"picture-{one.domain}.png"


def ask(url: str, one: Drawn) -> dict[str, str]:
    """Return what a server answers about a picture, by mode."""
    with Client(url) as client:
        file = png(one.pixels)
        return {name: client.generate(one.question, images=[file], **fields).text for name, fields in MODES.items()}


def section(pictures: Sequence[Drawn], answers: Sequence[dict[str, str]]) -> str:
    """Return the section of the guide."""
    rows = []
    for one, said in zip(pictures, answers, strict=True):
        shown = f"![{one.domain}](../images/{path_of(one).name})"
        rows.append([shown, one.question, one.answer, *(" ".join(said[name].split()) for name in MODES)])
    head = ["picture", "question", "right", *MODES]
    picture = path_of(pictures[0]).relative_to(ROOT)
    return TEXT.format(picture=picture, question=pictures[0].question, table=table(head, rows, left=head))


def written(page: str, text: str) -> str:
    """Return the page with `text` as its section, in the place of an older one, or before the costs."""
    return SECTION.sub("", page).replace(NEXT, text + NEXT)


def example(url: str, one: Drawn) -> str:
    """Return the first line that examples/read_picture.py prints, which is autoregressive's."""
    script, picture = str(ROOT / "examples" / "read_picture.py"), str(path_of(one))
    printed = subprocess.check_output([sys.executable, script, picture, one.question, "--url", url], text=True)
    return printed.splitlines()[0]


def with_row(readme: str, one: Drawn, output: str) -> str:
    """Return the README of the examples with the example's row, in the place of an older one or as the last."""
    command = f'python examples/read_picture.py {path_of(one).relative_to(ROOT)} "{one.question}"'
    row = f"| [read_picture.py](read_picture.py) | {SHOWS} | `{command}` | `{output}` |\n"
    kept = ROW.sub("", readme)
    *_, last = re.finditer(r"^\| \[.*\n", kept, re.MULTILINE)
    return kept[: last.end()] + row + kept[last.end() :]


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, ask and write; return 0, or 1 where an autoregressive answer is wrong."""
    parser = argparse.ArgumentParser(prog="python -m scripts.picture_guide", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="bundle of nano-vlm to serve")
    bundle: Path = parser.parse_args(arguments).bundle.resolve()
    pictures = drawn(scope_of(NANO_VLM))
    for stale in IMAGES.glob("picture-*.png"):
        stale.unlink()
    for one in pictures:
        path_of(one).write_bytes(png(one.pixels))
    with tempfile.TemporaryDirectory() as scratch, serving(bundle, Path(scratch) / "log") as at:
        answers = [ask(at.grpc, one) for one in pictures]
        line = example(at.grpc, pictures[0])
    text = section(pictures, answers)
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    README.write_text(with_row(README.read_text(encoding="utf-8"), pictures[0], line), encoding="utf-8")
    print(text)
    return 0 if all(said["autoregressive"] == one.answer for one, said in zip(pictures, answers, strict=True)) else 1


if __name__ == "__main__":
    sys.exit(main())
