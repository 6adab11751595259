"""Watch a block being denoised: after each pass, what is decided, what may still change, and what is masked.

    python examples/watch_blocks.py "What is 23 + 2221?"

A terminal shows the answer in place: what may still change is yellow, what is masked is dim. Elsewhere each pass is a
line: the position of the block in the answer, the pass, and the block, where [brackets] hold what may still change.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import groupby

from rich.console import Console
from rich.live import Live
from rich.text import Text
from trimode.api.answer import Provisional
from trimode_client import Client, Stream, TrimodeClientError

STYLES = {"committed": "", "provisional": "yellow", "masked": "dim"}


def line_of(block: Provisional) -> str:
    """Return a block as one line, with line ends written as in JSON."""
    shown = ""
    for state, tokens in groupby(block.tokens, key=lambda token: token.state):
        text = json.dumps("".join(token.text for token in tokens), ensure_ascii=False)[1:-1]
        shown += f"[{text}]" if state == "provisional" else text
    return f"{block.start:4} {block.step:2}  {shown}"


def draw(stream: Stream, console: Console, delay: float) -> None:
    """Draw the text so far, and after it the block as it is now; wait `delay` seconds after each pass."""
    text = ""
    with Live(console=console, auto_refresh=False) as live:
        for piece in stream:
            text += piece.text
            shown = Text(text)
            if piece.provisional is not None:
                for token in piece.provisional.tokens:
                    if token.state != "committed":  # what is committed stands in the text already
                        shown.append(token.text, STYLES[token.state])
                time.sleep(delay)
            live.update(shown, refresh=True)


def main() -> None:
    """Read the command line and show the passes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question")
    parser.add_argument("--delay", type=float, default=0.2, help="seconds to wait after a pass [%(default)s]")
    parser.add_argument("--url", help="host:port of gRPC, or a URL [$TRIMODE_URL, else localhost:8001]")
    options = parser.parse_args()
    console = Console()
    try:
        with (
            Client(options.url) as client,
            client.stream(options.question, mode="diffusion", stream_provisional=True) as stream,
        ):
            if console.is_terminal:
                draw(stream, console, options.delay)
            else:
                for piece in stream:
                    for block in piece.passes:
                        print(line_of(block), flush=True)
                print(stream.finish().text)
    except TrimodeClientError as exc:
        sys.exit(f"watch_blocks.py: {exc}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
