"""Runtime: requests in, chunks out. Ties engine, tokenizer, scheduler and the thread that hands chunks over.

What Triton's face and in-process users talk to. Knows nothing of tensors or of the server.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from .api.answer import Chunk
from .api.effort import EffortTable
from .api.fields import MAX_BLOCK_LENGTH, Mode
from .api.params import Defaults, GenerationParams
from .auto.chooser import Auto
from .auto.cost_curve import CostCurve
from .bundle.manifest import Manifest, rebuild_hint
from .config import ServerConfig
from .decoding.sequence import Sequence
from .engines.base import Engine, Row
from .engines.onnx import engine as onnx_runtime
from .engines.tensorrt import engine as tensorrt
from .errors import BundleError, Described, EngineError, PromptTooLongError, RequestError
from .requests import revise
from .requests.infill import Infill
from .scheduling.job import Task
from .scheduling.prefix_cache import PrefixCache
from .scheduling.scheduler import Scheduler
from .scheduling.snapshot import Snapshot
from .text.stop_words import AnswerText
from .text.tokenizer import Tokenizer

Sink = Callable[[Chunk], None]

logger = logging.getLogger(__name__)

ENGINES: dict[str, type[Engine]] = {
    onnx_runtime.RUNTIME: onnx_runtime.OnnxRuntimeEngine,
    tensorrt.RUNTIME: tensorrt.TensorRtEngine,
}
"""Engines by the `runtime` of a bundle's manifest."""
SHOWN_ROWS, SHOWN_TOKENS = (1, 8), (1, 8, 32)
"""Calls whose cost is shown to operators."""
NO_EFFORTS = (
    "needs effort.json, which this checkpoint has not; `make quality` measures it. Set denoise_steps, threshold"
)
STALE_EFFORTS = "needs effort.json of this checkpoint, but it was measured on another one; `make quality` does it anew"


@dataclass(frozen=True)
class Handle:
    """A request on its way: its effective values and the means to cancel it."""

    params: GenerationParams
    _cancel: Callable[[], None]

    def cancel(self) -> None:
        """End the request; its sink gets a last chunk with a CancelledError unless it was done already."""
        self._cancel()


@dataclass(frozen=True)
class Stats:
    """A moment's view of the runtime.

    Attributes:
        running, waiting: requests.
        passes_total: compiled calls so far.
        prompt_tokens, cached_tokens: of prompts looked up in the prefix cache; those found there.
        prefix_bytes: what the prefix cache holds.
        auto_cycles: cycles by the mode and the length of draft that `auto` chose.
        pass_seconds: what a call takes, with what is done around it, by rows and tokens per row, as `auto` sees it.
    """

    running: int
    waiting: int
    passes_total: int
    prompt_tokens: int
    cached_tokens: int
    prefix_bytes: int
    auto_cycles: dict[tuple[str, int], int]
    pass_seconds: dict[tuple[int, int], float]


class Runtime:
    """One engine and everything around it that turns a request into text."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer | None,
        config: ServerConfig,
        efforts: EffortTable | None = None,
        curve: CostCurve | None = None,
    ) -> None:
        """Start the threads; without a `curve` the engine's is measured first."""
        self.engine = engine
        self.manifest: Manifest = engine.manifest
        stale = efforts is not None and efforts.checkpoint_hash != self.manifest.checkpoint_hash
        self.tokenizer = tokenizer
        self._defaults = Defaults(
            vocab_size=self.manifest.vocab_size,
            block_length=min(self.manifest.block_size, MAX_BLOCK_LENGTH),
            end_id=self.manifest.eos_token_id,
            mask_token_id=self.manifest.mask_token_id,
            end_think_token_id=tokenizer.end_think_token_id if tokenizer else None,
            adapter=self.manifest.adapter,
            effort=STALE_EFFORTS if stale else efforts or NO_EFFORTS,
            mode=config.default_mode,
            max_tokens=config.default_max_tokens,
        )
        # What must not stand in a text that is filled or revised; a tokenizer may have more ids than the model.
        special = tokenizer.special_ids if tokenizer else ()
        banned = {*special, self.manifest.eos_token_id}
        self._banned = tuple(sorted(token for token in banned if 0 <= token < self.manifest.vocab_size))
        self._outbox: queue.SimpleQueue[tuple[Sink, Chunk] | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="trimode-sender", daemon=True)
        self._sender.start()
        self._auto = Auto(curve or CostCurve.measure(engine, config.max_slots), self.manifest.block_size)
        self._prefixes = PrefixCache(config.prefix_cache_mib * 2**20)
        self._scheduler = Scheduler(
            engine,
            self._auto,
            self._prefixes,
            max_slots=config.max_slots,
            max_queue=config.max_queue,
            prefill_chunk=config.prefill_chunk,
        )

    @classmethod
    def open(cls, config: ServerConfig) -> Runtime:
        """Load the bundle that `config` names, with the engine its manifest names, and run a first pass.

        Raises:
            BundleError: missing, broken or mismatched bundle.
            EngineError: the first pass failed.
        """
        bundle = Path(config.bundle)
        engine = open_engine(bundle, config)
        try:
            warm_up(engine)
            return cls(engine, Tokenizer.load(bundle), config, EffortTable.load(bundle))
        except BaseException:
            engine.close()
            raise

    def submit(
        self, given: Mapping[str, object], sink: Sink, *, timeout_ms: int | None = None, reference: bool = False
    ) -> Handle:
        """Check a request and queue it; `sink` gets its chunks, in order, from the sender's thread.

        Args:
            given: the request's fields by name, as `fields.FIELDS` lists them.
            timeout_ms: a limit that came from outside the fields; the tighter one counts.
            reference: follow the released loops to the letter (see GenerationParams).

        Raises:
            RequestError: a field is bad, or prompt and answer do not fit the engine.
            OverloadedError: the queue is full.
        """
        params = GenerationParams.parse(given, self._defaults, reference=reference)
        limits = [limit for limit in (timeout_ms, params.timeout_ms) if limit]
        seconds = min(limits) / 1000 if limits else None
        if params.task == "infill":
            return self._fill(params, sink, seconds)
        if params.task == "revise":
            return self._revise(params, sink, seconds)
        prompt_text, prompt = self._prompt(params)
        params = self._fit(params, len(prompt), asked=given.get("max_tokens") is not None)
        task = Task(
            sequence=Sequence(params, prompt, self.manifest.mask_token_id, params.draft_adapter),
            text=AnswerText(self.tokenizer, params.stop_words, at_once=not params.stream),
            deliver=lambda chunk: self._outbox.put((sink, chunk)),
            watch=lambda chunk, snapshot: self._outbox.put((partial(self._tell, sink, snapshot), chunk)),
            prefix="" if params.exclude_input_in_output else prompt_text,
        )
        if seconds is not None:
            task.deadline = task.submitted + seconds
        self._scheduler.submit(task)
        return Handle(params, lambda: self._scheduler.cancel(task))

    def _fill(self, params: GenerationParams, sink: Sink, seconds: float | None) -> Handle:
        """Queue a request to fill gaps."""
        job = Infill(
            params,
            self._needed(params.prompt_field),
            self._scheduler,
            mask_token_id=self.manifest.mask_token_id,
            capacity=self.manifest.capacity,
            banned=self._banned,
            adapter=self.manifest.adapter,
            post=lambda take, chunk: self._outbox.put((take, chunk)),
            deliver=sink,
        )
        job.start(seconds)
        return Handle(params, job.cancel)

    def _revise(self, params: GenerationParams, sink: Sink, seconds: float | None) -> Handle:
        """Queue a request to revise a text."""
        tokenizer = self._needed("text")
        original = revise.Original.of(params, tokenizer, self.manifest.capacity)
        seq = revise.sequence_of(params, original, self.manifest.mask_token_id, self._banned)

        def take(chunk: Chunk) -> None:
            sink(revise.answer(chunk, seq, original, tokenizer))

        task = Task(seq, AnswerText(None, (), at_once=True), lambda chunk: self._outbox.put((take, chunk)))
        if seconds is not None:
            task.deadline = task.submitted + seconds
        self._scheduler.submit(task)
        return Handle(params, lambda: self._scheduler.cancel(task))

    def _tell(self, sink: Sink, snapshot: Snapshot, chunk: Chunk) -> None:
        """Hand over a chunk and the block beside it; runs on the sender's thread."""
        sink(replace(chunk, provisional=snapshot.told(self.tokenizer)))

    def _needed(self, field: str) -> Tokenizer:
        """Return the tokenizer, without which `field` cannot be."""
        if self.tokenizer is None:
            limit = "needs a checkpoint with a tokenizer"
            raise RequestError(field, limit, Described("a text"), error_type="not_applicable")
        return self.tokenizer

    def generate(self, given: Mapping[str, object], *, reference: bool = False) -> Chunk:
        """Run one request to its end and return all of it as one chunk.

        Raises:
            TrimodeError: whatever `submit` raises, and the error that ended the request.
        """
        answer = Chunk()
        done = threading.Event()

        def collect(chunk: Chunk) -> None:
            nonlocal answer
            text, ids, probs = answer.text + chunk.text, answer.token_ids + chunk.token_ids, answer.log_probs
            answer = replace(chunk, text=text, token_ids=ids, log_probs=probs + chunk.log_probs)
            if chunk.last:
                done.set()

        self.submit(given, collect, reference=reference)
        done.wait()
        if answer.error is not None:
            raise answer.error
        return answer

    def stats(self) -> Stats:
        """Return what is running, waiting and done at the moment."""
        return Stats(
            self._scheduler.running,
            self._scheduler.waiting,
            self.engine.calls,
            self._prefixes.asked_tokens,
            self._prefixes.found_tokens,
            self._prefixes.size,
            dict(self._auto.cycles),
            self._auto.curve.table(SHOWN_ROWS, SHOWN_TOKENS),
        )

    def close(self, grace_seconds: float = 0.0) -> None:
        """Finish what runs within the grace period, end the rest, release the engine; every sink gets a last chunk."""
        self._scheduler.close(grace_seconds)
        self._outbox.put(None)
        self._sender.join()
        self.engine.close()

    def _send(self) -> None:
        while (item := self._outbox.get()) is not None:
            sink, chunk = item
            try:
                sink(chunk)
            except Exception:  # one client's sink must not end everybody's answers
                logger.exception("a sink failed")

    def _prompt(self, params: GenerationParams) -> tuple[str, list[int]]:
        """Return the prompt's text and ids."""
        if params.stop_words and self.tokenizer is None:
            limit = "need a checkpoint with a tokenizer"
            raise RequestError("stop_words", limit, params.stop_words, error_type="not_applicable")
        if params.input_ids is not None:
            ids = list(params.input_ids)
            if self.tokenizer is None or params.exclude_input_in_output:
                return "", ids
            return self.tokenizer.decode(ids), ids
        field = params.prompt_field
        if self.tokenizer is None:
            limit = "needs a checkpoint with a tokenizer; send input_ids"
            raise RequestError(field, limit, Described("a text"), error_type="not_applicable")
        text = params.text_input
        if text is None:
            assert params.messages is not None
            text = self.tokenizer.render_chat(params.messages, enable_thinking=params.enable_thinking)
        if not text:
            raise RequestError(field, "must not be empty", text)
        if not self.tokenizer.fits(text, self.manifest.capacity):
            limit = f"must fit the capacity of {self.manifest.capacity} tokens"
            raise PromptTooLongError(field, limit, f"{len(text)} characters")
        ids = self.tokenizer.encode(text)
        if not ids:
            raise RequestError(field, "must hold at least one token", text)
        return text, ids

    def _fit(self, params: GenerationParams, prompt: int, *, asked: bool) -> GenerationParams:
        """Check that prompt, answer and one block fit; without a max_tokens of its own a request takes what is left."""
        block = 0 if params.mode is Mode.AUTOREGRESSIVE else params.block_length
        capacity = self.manifest.capacity
        room = capacity - prompt - block
        if room < 1:
            needs = f"a block of {block} and a token" if block else "a token"
            limit = f"must leave room for {needs} in the capacity of {capacity} tokens"
            raise PromptTooLongError(params.prompt_field, limit, f"{prompt} tokens")
        if params.max_tokens <= room:
            return params
        if asked:
            limit = f"must be at most {room} (capacity {capacity} - prompt {prompt} - block {block})"
            raise PromptTooLongError("max_tokens", limit, params.max_tokens)
        return replace(params, max_tokens=room)


def open_engine(bundle: Path, config: ServerConfig) -> Engine:
    """Open `bundle` with the engine that its manifest names; one for GPUs opens on `config.device`.

    Raises:
        BundleError: missing, broken or mismatched bundle, or nothing here that could run it.
    """
    runtime = Manifest.load(bundle).runtime
    engine = ENGINES.get(runtime)
    if engine is None:
        raise BundleError(
            f"{bundle}: runtime: expected one of {list(ENGINES)}, got {runtime!r}. {rebuild_hint(bundle)}"
        )
    return engine.open(
        bundle, threads=config.threads, spin=config.spin, max_slots=config.max_slots, device=config.device
    )


def warm_up(engine: Engine) -> None:
    """Run one causal pass, so that a broken engine is noticed before it is called ready."""
    slot = engine.allocate(block=False)
    try:
        one = np.zeros(1, dtype=np.int64)
        result = engine.run([Row(slot, one, 0, "causal", one, keep=True)])[0]
        if not np.isfinite(result.logits).all():
            raise EngineError("the engine's first pass gave logits that are not finite")
    finally:
        engine.free(slot)
