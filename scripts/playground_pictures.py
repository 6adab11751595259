"""`python -m scripts.playground_pictures --bundle DIR`: take the pictures of the playground into docs/images.

Serves the bundle for a moment and lets tests/browser/pictures.mjs use the page in a Chromium. It needs what
`make test-browser` needs, and Pillow, which comes with matplotlib.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from trimode_client.local_server import serving

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
BROWSER = ROOT / "tests" / "browser"
STEP_MILLISECONDS = 400
END_MILLISECONDS = 3000
MOST_BYTES = 1_500_000


def main(arguments: list[str] | None = None) -> int:
    """Take them all, and say how large they are."""
    parser = argparse.ArgumentParser(prog="playground_pictures", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="bundle of nano to serve")
    options = parser.parse_args(arguments)
    chromium = subprocess.check_output([ROOT / "scripts" / "fetch-chromium"], text=True).strip()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with serving(options.bundle.resolve(), folder / "log") as addresses:
            command = ["node", "pictures.mjs", scratch, f"http://{addresses.http}"]
            subprocess.run(command, cwd=BROWSER, env={**os.environ, "CHROMIUM": chromium}, check=True)
        IMAGES.mkdir(exist_ok=True)
        for path in sorted(folder.glob("playground-*.png")):
            Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
                IMAGES / path.name, optimize=True
            )
        animate(sorted(folder.glob("frame-*.png")), IMAGES / "playground.webp")
    for path in sorted(IMAGES.glob("playground*")):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} KB")
    return 0 if (IMAGES / "playground.webp").stat().st_size < MOST_BYTES else 1


def animate(paths: list[Path], out: Path) -> None:
    """Make one picture of the steps that are in `paths`, which shows the last one for longest."""
    frames = [Image.open(path).convert("RGB") for path in paths]
    durations = [STEP_MILLISECONDS] * (len(frames) - 1) + [END_MILLISECONDS]
    frames[0].save(
        out, save_all=True, append_images=frames[1:], duration=durations, loop=0, lossless=True, method=4, quality=100
    )


if __name__ == "__main__":
    sys.exit(main())
