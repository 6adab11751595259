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

        listed = PEERS[options.peer]
        module = importlib.import_module(f".{listed.module}", __package__)
        peer: Peer = module.load(options.checkpoint, options.threads, *listed.kind)
        say({"about": peer.about, "modes": list(peer.modes), "passes": peer.one_pass is not None})
        for line in sys.stdin:
            asked = json.loads(line)
            say(time_pass(peer, asked) if "tokens" in asked else answer(peer, asked))
    return 0


def time_pass(peer: Peer, asked: dict[str, Any]) -> dict[str, Any]:
    """Answer {tokens, context, causal} with {seconds} of one pass, or with {error}."""
    try:
        if peer.one_pass is None:
            raise NotImplementedError("this peer times no single pass")
        return {"seconds": peer.one_pass(asked["tokens"], asked["context"], asked["causal"])}
    except Exception as exc:  # whatever a peer's library raises is the driver's to report
        return {"error": f"{type(exc).__name__}: {exc}"}


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
