"""A peer: another way to run the same checkpoint, asked one prompt at a time; and its process as the driver sees it.

Knows no peer's library: the modules named in PEERS do, and only a worker imports them. A worker that dies or stays
silent is ended and gives a PeerError, never a hang.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common import PERF, PROJECT
from ..common.progress import MeasureError

START_SECONDS = 120.0
END_SECONDS = 2.0


@dataclass(frozen=True)
class Listed:
    """Where a peer is: the module of this package whose `load(checkpoint, threads, *kind)` gives it.

    `kind` is the type of its weights, where the module has several; `precision` is the one of ours that it is set
    against.
    """

    module: str
    kind: tuple[str, ...] = ()
    precision: str = "float32"


MODEL_TYPE = "nemotron_labs_diffusion"
"""The official layout's, in config.json."""
OWN = "own"
"""The kind of weights that a GGUF file has itself."""
LLAMA = {
    "llama.cpp F32": Listed("llama_cpp", ("F32",)),
    "llama.cpp BF16": Listed("llama_cpp", ("BF16",)),
    "llama.cpp Q8_0": Listed("llama_cpp", ("Q8_0",), "int8"),
    "llama.cpp Q4_0": Listed("llama_cpp", ("Q4_0",), "int4"),
}
OFFICIAL = {
    "torch": Listed("eager"),
    "transformers": Listed("transformers_generate"),
    "openvino": Listed("openvino"),
}
"""Those that read the official layout alone."""
PEERS = {**OFFICIAL, **LLAMA, "llama.cpp, the file itself": Listed("llama_cpp", (OWN,), "int8")}
"""Every peer by name."""


def fitting(checkpoint: Path) -> list[str]:
    """Return the names of the peers that can read `checkpoint`: the official layout, Llama's, or GGUF."""
    config = checkpoint / "config.json"
    if not config.is_file():
        return [name for name in PEERS if name not in OFFICIAL]
    official = json.loads(config.read_text(encoding="utf-8")).get("model_type") == MODEL_TYPE
    return [*(OFFICIAL if official else ()), *LLAMA]


@dataclass(frozen=True)
class Answer:
    """The tokens generated, the end token included, and the passes after the prefill.

    `products`, where a peer has it, does the answer's matrix products of weights again: a peer's time over theirs is
    the most that doing everything else for nothing could gain.
    """

    ids: list[int]
    forwards: int
    products: Callable[[], None] | None = None


Decode = Callable[[list[int], int, int], Answer]
"""(prompt, max_tokens, eos) -> answer; greedy, batch 1."""
OnePass = Callable[[int, int, bool], float]
"""(tokens, tokens before them, causal) -> seconds of one pass with logits of each token, which keeps nothing."""


@dataclass(frozen=True)
class Peer:
    """A loaded peer: what it is in words and versions, the modes that it has, and how to time a pass, if it says."""

    about: str
    modes: Mapping[str, Decode]
    one_pass: OnePass | None = None


class PeerError(MeasureError):
    """A peer that cannot be started, died, gave an error or did not answer in time."""


class Process:
    """One worker. `hello` is what it said when it was ready."""

    def __init__(self, command: Sequence[str], *, start_seconds: float = START_SECONDS) -> None:
        """Start the worker and wait until it is ready; raises PeerError if it does not get there."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        path = os.pathsep.join(filter(None, (str(PERF), str(PROJECT / "train"), os.environ.get("PYTHONPATH"))))
        try:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is the driver's, which then ends its workers
            )  # fmt: skip
        except OSError as exc:
            self._errors.close()
            raise PeerError(f"cannot be started: {exc}") from exc
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.hello = self._next(start_seconds)
        except BaseException:
            self.close()
            raise

    def ask(self, asked: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and return its answer.

        Raises:
            PeerError: the worker died, gave an error (only then it lives on), or no answer within `seconds`.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        except OSError as exc:
            raise self._died() from exc
        answer = self._next(seconds)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def close(self) -> None:
        """End the worker: by closing its stdin, by a kill if it does not go."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # a dead worker's pipe may hold what it never read
            self._process.stdin.close()
        self._end()
        self._errors.close()

    def _next(self, seconds: float) -> dict[str, Any]:
        line: str | None = ""
        try:
            line = self._lines.get(timeout=seconds)
            answer: dict[str, Any] = json.loads(line or "null")
        except (queue.Empty, ValueError):
            self._process.kill()
            said = f"did not answer with JSON: {line[:80]!r}" if line else f"gave no answer within {seconds:g} s"
            raise PeerError(said) from None
        if line is None:
            raise self._died()
        return answer

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _died(self) -> PeerError:
        self._end()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return PeerError(f"ended with status {self._process.returncode}: {said[-1] if said else 'it said nothing'}")

    def _end(self) -> None:
        """Wait for the process, not for long, and for its reader."""
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(END_SECONDS)
