"""Chat: each line of standard input is answered as it is written, and the history goes with the next one.

    python examples/chat.py
    python examples/chat.py < examples/texts/questions.txt

Ctrl-D ends it; so does Ctrl-C, which also cancels the answer that is being written.
"""

from __future__ import annotations

import argparse
import sys

from trimode_client import Client, TrimodeClientError


def answer(client: Client, messages: list[dict[str, str]]) -> str:
    """Print the answer to a conversation while it arrives, and return it. Leaving the block early cancels it."""
    with client.stream(messages=messages) as stream:
        for piece in stream:
            print(piece.text, end="", flush=True)
        print()
        return stream.finish().text


def chat(client: Client) -> None:
    """Answer lines until the input ends."""
    messages: list[dict[str, str]] = []
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if line.strip():
            messages.append({"role": "user", "content": line})
            messages.append({"role": "assistant", "content": answer(client, messages)})


def main() -> None:
    """Read the command line and chat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="host:port of gRPC, or a URL [$TRIMODE_URL, else localhost:8001]")
    try:
        with Client(parser.parse_args().url) as client:
            chat(client)
    except TrimodeClientError as exc:
        sys.exit(f"chat.py: {exc}")
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
