"""`trimode chat`: a conversation with its history. The mode can change between answers; Ctrl-C stops one answer."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import Any

from rich.console import Console
from trimode.api.fields import Mode

from ..client import Client
from ..errors import TrimodeClientError
from ..images import with_images
from ..knobs import Knobs
from .generate import summary
from .knobs import add_knobs, given_knobs, knobs_of

HELP = "/mode NAME changes the mode, /reset forgets the conversation, /quit or Ctrl-D ends it"

_READY_SECONDS = 5.0  # for a server to be ready; a conversation does not wait for one that starts


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add this command."""
    parser = commands.add_parser("chat", parents=[shared], help="hold a conversation", description=HELP)
    parser.add_argument("--system", metavar="TEXT", help="a system message at the start")
    add_knobs(parser)
    parser.set_defaults(run=run)


class Chat:
    """The conversation so far, and the knobs of the next answer."""

    def __init__(self, client: Client, knobs: Knobs, system: str | None, console: Console) -> None:
        self._client = client
        self._images = knobs.pop("images", ())  # of the first question
        self._given = self._knobs = knobs
        self._system = system
        self._console = console
        self.messages: list[dict[str, Any]] = []
        self.reset()

    def reset(self) -> None:
        """Forget everything but the system message."""
        self.messages = [{"role": "system", "content": self._system}] if self._system else []

    def enter(self, line: str) -> bool:
        """Answer a line or carry out a command; return whether to go on."""
        command, _, argument = line.partition(" ")
        match command:
            case "/quit" | "/exit":
                return False
            case "/reset":
                self.reset()
                self._print_dim("the conversation is forgotten")
            case "/mode":
                self._set_mode(argument.strip())
            case _ if command.startswith("/"):
                self._print_dim(HELP)
            case _ if line.strip():
                self._answer(line)
        return True

    def _set_mode(self, name: str) -> None:
        if name not in list(Mode):
            self._print_dim(f"the mode must be one of {', '.join(Mode)}")
            return
        self._knobs = knobs_of(Mode(name), self._given)
        left_out = ", ".join(sorted(self._given.keys() - self._knobs.keys()))
        self._print_dim(f"mode {name}" + (f", without {left_out}, which it does not have" if left_out else ""))

    def _answer(self, line: str) -> None:
        asked = [*self.messages, {"role": "user", "content": line}]
        if self._images and not any(one["role"] == "user" for one in self.messages):
            asked = with_images({"messages": asked}, self._images)["messages"]
        try:
            with self._client.stream(messages=asked, **self._knobs) as stream:
                for piece in stream:
                    print(piece.text, end="", flush=True)
                print()
                completion = stream.finish()
        except KeyboardInterrupt:
            print()
            self._print_dim("stopped; this question and its answer are forgotten")
        except TrimodeClientError as exc:
            print()
            self._print_dim(f"error: {exc}")
        else:
            self.messages = [*asked, {"role": "assistant", "content": completion.text}]
            self._print_dim(summary(completion))

    def _print_dim(self, text: str) -> None:
        self._console.print(text, style="dim")


def run(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Read lines until the end of input."""
    interactive = sys.stdin.isatty()
    if interactive:
        with suppress(ImportError):
            import readline  # noqa: F401  # line editing and history for input()
        console.print(HELP, style="dim")
    client.wait_until_ready(_READY_SECONDS)
    chat = Chat(client, given_knobs(arguments), arguments.system, console)
    while True:
        try:
            line = input("> " if interactive else "")
        except EOFError:
            if interactive:
                print()
            return 0
        if not chat.enter(line):
            return 0
