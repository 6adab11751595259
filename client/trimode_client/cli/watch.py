"""`trimode watch`: one answer while it is denoised, in colour on a terminal, else as a line for each pass."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text
from trimode.api.answer import Provisional
from trimode.api.applicability import FIELDS_OF_MODES
from trimode.api.fields import Mode

from ..client import Client
from ..result import Completion, Piece
from .generate import summary
from .knobs import add_knobs, given_knobs
from .prompt import add_prompt, given_prompt
from .screen import as_json, print_note

STYLES = {"committed": "", "provisional": "yellow underline", "masked": "dim"}
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters on which a terminal would act; tabs and line feeds may stay."""
ROWS_BELOW = 2  # of the screen, under the text: the status line and one that stays free
MAX_DELAY_SECONDS = 60.0


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add this command."""
    about = (
        "Shows the answer after each pass: in colour on a terminal, else as a line. The line says at which token of "
        "the answer the block starts, which pass over the block it was, and the block's text: [in brackets] what may "
        "still change, and ░ for what is masked."
    )
    parser = commands.add_parser("watch", parents=[shared], help="see an answer being denoised", description=about)
    add_prompt(parser)
    parser.add_argument(
        "--plain",
        action="store_true",
        help="print a line for each pass, as with NO_COLOR or where the output is not a terminal",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument(
        "--delay", type=_seconds, default=0.0, metavar="S", help="wait S seconds after a pass [%(default)g]"
    )
    parser.add_argument(
        "--mode",
        type=_watchable,
        default=Mode.DIFFUSION.value,
        metavar="S",
        help=f"{' or '.join(FIELDS_OF_MODES['stream_provisional'])} [%(default)s]",
    )
    add_knobs(parser, without=("mode",))
    parser.set_defaults(run=run)


def run(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Show every pass, then the answer."""
    prompt, knobs = given_prompt(arguments), given_knobs(arguments)
    knobs["stream_provisional"] = True
    with client.stream(**prompt, **knobs) as stream:
        pieces = _slowly(stream, arguments.delay)
        if arguments.json:
            for piece in pieces:
                print(as_json(asdict(piece)), flush=True)
        elif arguments.plain or not console.is_terminal or console.is_dumb_terminal:
            for line in lines(pieces):
                print(line, flush=True)
        else:
            play(pieces, console)
        completion = stream.finish()
    if not arguments.json:
        conclude(completion)
    return 0


def conclude(completion: Completion) -> None:
    """Print the answer, and what it cost."""
    print(CONTROLS.sub("\N{REPLACEMENT CHARACTER}", completion.text))
    print_note(summary(completion))


def lines(pieces: Iterable[Piece]) -> Iterator[str]:
    """Yield a line for each pass: the token at which the block starts, the pass over the block, and its text.

    What may still change stands in [brackets]; what is masked is ░; line ends are written as in JSON.
    """
    for piece in pieces:
        for block in piece.passes:
            shown = "".join(_bracketed(state, text) for state, text in _runs(block))
            yield f"{block.start:5} {block.step:3}  {shown}"


def _bracketed(state: str, text: str) -> str:
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    return f"[{escaped}]" if state == "provisional" else escaped


def _runs(block: Provisional) -> Iterator[tuple[str, str]]:
    """Yield the block's text in runs of one state."""
    for state, run in groupby(block.tokens, key=lambda token: token.state):
        yield state, "".join(CONTROLS.sub("\N{REPLACEMENT CHARACTER}", token.text) for token in run)


def play(pieces: Iterable[Piece], console: Console) -> None:
    """Draw the answer after each pass: the committed text, then the rest of the block in the style of its state.

    Of passes that come together the last is drawn, since the committed text stands behind the others already.
    """
    committed, tokens, passes = "", 0, 0
    with Live(console=console, transient=True, auto_refresh=False, vertical_overflow="visible") as live:
        for piece in pieces:
            committed += CONTROLS.sub("\N{REPLACEMENT CHARACTER}", piece.text)
            tokens += len(piece.token_ids)
            passes += len(piece.passes)
            live.update(frame(committed, _standing(piece), console, f"{tokens} tokens, {passes} passes"), refresh=True)


def _standing(piece: Piece) -> Provisional | None:
    """Return the block as it stands at a piece's end; none where text became final after its last denoising pass."""
    final = "".join(block.committed for block in piece.passes)
    return piece.provisional if final == piece.text else None


def frame(committed: str, block: Provisional | None, console: Console, counts: str) -> Text:
    """Return what the screen shows: as many of the last lines of the text as fit, and a status line."""
    text = Text(committed)
    status = counts
    if block is not None:
        for state, run in _runs(block):
            if state != "committed":  # the committed text stands there already
                text.append(run, STYLES[state])
        status = f"block at {block.start}, pass {block.step}; {counts}"
    rows = text.wrap(console, console.width)[-max(console.height - ROWS_BELOW, 1) :]
    shown = Text("\n").join(rows)
    return shown.append("\n").append(status, "dim")


def _slowly(pieces: Iterable[Piece], delay: float) -> Iterator[Piece]:
    """Yield `pieces`, and wait `delay` seconds for each pass that one shows."""
    for piece in pieces:
        yield piece
        if delay and piece.passes:
            time.sleep(delay * len(piece.passes))


def _watchable(name: str) -> str:
    if name not in FIELDS_OF_MODES["stream_provisional"]:
        shown = " or ".join(FIELDS_OF_MODES["stream_provisional"])
        raise argparse.ArgumentTypeError(f"must be {shown}, which denoise blocks that can be watched, got {name}")
    return name


def _seconds(text: str) -> float:
    if not 0 <= (number := float(text)) <= MAX_DELAY_SECONDS:
        raise argparse.ArgumentTypeError(f"must be between 0 and {MAX_DELAY_SECONDS:g} seconds, got {text}")
    return number
