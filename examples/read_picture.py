"""Ask about a picture in each mode, and show what each says and how many passes it took after the prompt.

    python examples/read_picture.py docs/images/picture-word.png "What word do you see?"

The server must have a model with a vision tower: `make serve MODEL=nano-vlm`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trimode.api.fields import Mode
from trimode_client import Client, TrimodeClientError

MODES = (Mode.AUTOREGRESSIVE, Mode.DIFFUSION, Mode.SELF_SPECULATION, Mode.AUTO)


def main() -> None:
    """Read the command line, and print an answer for each mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("question")
    parser.add_argument("--url", help="host:port of gRPC, or a URL [$TRIMODE_URL, else localhost:8001]")
    options = parser.parse_args()
    try:
        picture = options.picture.read_bytes()
        with Client(options.url) as client:
            for mode in MODES:
                answer = client.generate(options.question, images=[picture], mode=mode)
                print(f"{mode:16}  {answer.counters['forwards']:3} passes  {' '.join(answer.text.split())}")
    except (OSError, TrimodeClientError) as exc:
        sys.exit(f"read_picture.py: {exc}")


if __name__ == "__main__":
    main()
