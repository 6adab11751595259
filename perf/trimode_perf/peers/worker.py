"""`python -m trimode_perf.peers.worker`: one peer in a process of its own, asked by a JSON object a line.

Says what it is once it is ready, then answers one request at a time and otherwise waits for a line; ends with stdin.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from .peer import PEERS, Answer, Peer


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf.peers.worker", description=__doc__)
    made.add_argument("--peer", choices=sorted(PEERS), required=True)
    made.add_argument("--threads", type=int, required=True, metavar="N")
    made.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Load the peer and serve it; return the exit status."""
    options = parser().parse_args(arguments)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what a library prints must not stand between the answers

        def say(said: dict[str, Any]) -> None:
            out.write(json.dumps(said) + "\n")
            out.flush()

        module = importlib.import_module(f".{PEERS[options.peer]}", __package__)
        peer: Peer = module.load(options.checkpoint, options.threads)
        say({"about": peer.about, "modes": list(peer.modes)})
        for line in sys.stdin:
            say(answer(peer, json.loads(line)))
    return 0


def answer(peer: Peer, asked: dict[str, Any]) -> dict[str, Any]:
    """Answer {input_ids, mode, max_tokens, eos} with {ids, seconds, forwards, products_seconds}, or with {error}."""
    decode, products = peer.modes[asked["mode"]], None
    try:
        began = time.perf_counter()
        given: Answer = decode(asked["input_ids"], asked["max_tokens"], asked["eos"])
        seconds = time.perf_counter() - began
        if given.products is not None:
            began = time.perf_counter()
            given.products()
            products = time.perf_counter() - began
    except Exception as exc:  # whatever a peer's library raises is the driver's to report
        return {"error": f"{type(exc).__name__}: {exc}"}
    return {"ids": given.ids, "seconds": seconds, "forwards": given.forwards, "products_seconds": products}


if __name__ == "__main__":
    sys.exit(main())
