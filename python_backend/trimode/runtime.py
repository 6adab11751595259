"""Runtime: requests in, chunks out. Ties engine, tokenizer, scheduler and the thread that hands chunks over.

Triton's face and in-process users call it. Knows nothing of tensors or of the server.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from .api.answer import Chunk
from .api.block_defaults import MAX_QUADRATIC_LENGTH, SMALLEST_QUADRATIC
from .api.counters import Stats
from .api.defaults import Defaults
from .api.effort import EffortTable
from .api.fields import MAX_BLOCK_LENGTH, Mode
from .api.params import GenerationParams
from .auto.ahead import PassLimits
from .auto.chooser import Auto
from .auto.cost_benchmark import measure_costs
from .auto.cost_curve import CostCurve
from .bundle.manifest import EFFORT, Manifest
from .config import ServerConfig
from .decoding.reveal import add_rules
from .engines.base import Engine
from .engines.registry import open_engine, warm_up
from .errors import DeviceLostError
from .requests import registry
from .requests.guides import must_compile
from .requests.request import Arrival, Handle, Request, checked, with_pictures
from .requests.services import Services, banned_ids, compiler_for
from .scheduling.batching import MAX_CALL_TOKENS
from .scheduling.outbox import LAST_ANSWERS_SECONDS, Outbox, Sink
from .scheduling.prefix_sharing import cache_of
from .scheduling.queue import JobQueue
from .scheduling.scheduler import Scheduler
from .text.tokenizer import Tokenizer, tokenizer_of
from .vision.encoder import Encoder, open_encoder
from .vision.loader import Loader
from .vision.until import Until, never

SHOWN_ROWS, SHOWN_TOKENS = (1, 8), (1, 8, 32)
"""Rows, and tokens per row, of the calls whose cost is shown to operators."""
NO_EFFORTS = (
    "needs effort.json, which this checkpoint does not have (`make quality` measures it); "
    "set denoise_steps or threshold instead"
)
STALE_EFFORTS = "needs effort.json of this checkpoint, but it was measured on another one; run `make quality`"


class Runtime:
    """One engine and everything around it that turns a request into text."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer | None,
        config: ServerConfig,
        efforts: EffortTable | None = None,
        curve: CostCurve | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        """Start the threads; without a `curve` the engine's is measured first. Engine and encoder are its own now."""
        self.engine = engine
        self.manifest: Manifest = engine.manifest
        self.tokenizer = tokenizer
        slots = config.max_slots if isinstance(config.max_slots, int) else engine.slots
        costs = curve or measure_costs(engine, slots)
        drafts = self.manifest.block_size if Mode.SELF_SPECULATION in self.manifest.modes else 0
        self.auto = Auto(costs, drafts, self.manifest.capacity, _pass_limits(self.manifest))
        self.defaults = _defaults(self.manifest, tokenizer, config, efforts)
        self.slots = slots
        self._queue = JobQueue(max_slots=slots, max_queue=config.max_queue)
        self._outbox = Outbox()
        self.services = Services(
            queue=self._queue,
            outbox=self._outbox,
            tokenizer=tokenizer,
            mask_token_id=self.manifest.mask_token_id,
            capacity=self.manifest.capacity,
            banned=banned_ids(self.manifest, tokenizer),
            adapter=self.manifest.adapter,
            grammars=None if tokenizer is None else compiler_for(tokenizer, self.manifest),
            stores_passes=self.manifest.kv_form == "scatter",
            encoder=encoder,
            loader=None if encoder is None else Loader.allowing(encoder, config.allowed_media_domains),
        )
        self._prefixes = cache_of(engine, config.prefix_cache_mib * 2**20)
        self._scheduler = Scheduler(engine, self.auto, self._prefixes, self._queue, prefill_chunk=config.prefill_chunk)

    @classmethod
    def open(cls, config: ServerConfig, gpu: int | None = None) -> Runtime:
        """Load the bundle that `config` names, on GPU number `gpu` if one is asked for, and run a first pass.

        Raises:
            BundleError: missing, broken or mismatched bundle.
            ConfigError: TRIMODE_REVEAL_RULES names a file that is no reveal rule.
            EngineError: the first pass failed.
        """
        add_rules()
        bundle = Path(config.bundle)
        engine = open_engine(bundle, config, gpu)
        try:
            warm_up(engine)
            return cls(
                engine,
                tokenizer_of(bundle, engine.manifest),
                config,
                EffortTable.load(bundle / EFFORT),
                encoder=open_encoder(bundle, engine.manifest, config, config.picture_cache_mib * 2**20, gpu),
            )
        except BaseException:
            engine.close()
            raise

    def submit(self, given: Mapping[str, object], sink: Sink, **arrival: Unpack[Arrival]) -> Handle:
        """Check a request, load its pictures, which may take seconds, and queue it; raises what the three raise.

        Args:
            given: the request's fields by name, as `fields.FIELDS` lists them.
            sink: gets its chunks, in order, from the sender's thread.
            arrival: see Arrival.
        """
        return self.start(self.load(self.check(given, sink, **arrival)))

    def check(self, given: Mapping[str, object], sink: Sink, **arrival: Unpack[Arrival]) -> Request:
        """Check a request before anything is done for it; the arguments are those of `submit`.

        Raises:
            RequestError: a field is bad, or a picture may not be fetched.
            DeadlineError: its time was over before it was checked.
        """
        params = GenerationParams.parse(given, self.defaults, reference=arrival.get("reference", False))
        asked = given.get("max_tokens") is not None
        return checked(params, sink, arrival, self.services.loader, length_asked=asked)

    def load(self, request: Request, cancelled: Callable[[], bool] = never) -> Request:
        """Load a request's pictures, if it has any; their files are not kept. `cancelled` ends it where nobody waits.

        Raises:
            RequestError: a picture cannot be had or read.
            CancelledError, DeadlineError: nobody waits any more, or it takes too long.
            EngineError: a picture could not be encoded.
        """
        if self.services.loader is None or not request.params.prompt.images:
            return request
        try:
            return with_pictures(request, self.services.loader, Until.of(request.deadline, cancelled))
        except DeviceLostError as exc:
            self._scheduler.lose(exc)
            raise

    def start(self, request: Request) -> Handle:
        """Queue a request that `load` returned, or `check` if it has no pictures.

        Raises:
            RequestError: prompt and answer do not fit the engine, or what it asks for does not fit the checkpoint.
            OverloadedError: the queue is full.
        """
        return registry.start(request, self.services)

    def must_compile(self, request: Request) -> bool:
        """Return whether `start` would first compile a grammar, which can take seconds."""
        return must_compile(request.params, self.services)

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
            top, prompt = answer.top + chunk.top, answer.prompt or chunk.prompt
            answer = replace(chunk, text=text, token_ids=ids, log_probs=probs + chunk.log_probs, top=top, prompt=prompt)
            if chunk.last:
                done.set()

        self.submit(given, collect, reference=reference)
        done.wait()
        if answer.error is not None:
            raise answer.error
        return answer

    def stats(self) -> Stats:
        """Return what is running, waiting and done at the moment."""
        encoder = self.services.encoder
        pictures = (0, 0, 0) if encoder is None else (encoder.encoded, encoder.found, encoder.held_bytes)
        return Stats(
            self._queue.running_requests,
            self._queue.waiting_requests,
            len(self._queue.running) / self.slots,
            self.engine.calls,
            self._prefixes.asked_tokens,
            self._prefixes.found_tokens,
            self._prefixes.size,
            dict(self.auto.cycles),
            self.auto.curve.table(SHOWN_ROWS, SHOWN_TOKENS),
            0 if self.services.grammars is None else self.services.grammars.kept_bytes,
            self._scheduler.steps,
            *pictures,
            self.slots,
        )

    def when_lost(self, end: Callable[[DeviceLostError], None]) -> None:
        """Have `end` called when the GPU is lost, after every request has ended and its callers have heard of it."""

        def lost(cause: DeviceLostError) -> None:
            self._outbox.close(at_most=LAST_ANSWERS_SECONDS)
            end(cause)

        self._scheduler.on_lost = lost

    def close(self, grace_seconds: float = 0.0) -> None:
        """Finish what runs within the grace period, end the rest, release the engine; every sink gets a last chunk."""
        self._scheduler.close(grace_seconds)
        self._outbox.close()
        if self.services.grammars is not None:
            self.services.grammars.close()
        if self.services.encoder is not None:
            self.services.encoder.close()
        self.engine.close()

    @contextmanager
    def traced(self, around: Callable[[Callable[..., Any], str], Callable[..., Any]]) -> Iterator[None]:
        """Inside the block, call `around(call, stage)` in place of each stage; costs nothing outside it.

        Stages, in an answer's order: "check" (the fields), "start" (chat template, tokenizer, queue), "submit" (the
        queue alone), "update" (the loop looks at the queue), "choose" (mode auto), "plan", "run" (the engine's call,
        with the buffers filled for it), "apply" (tokens chosen, text made), "send" (a chunk to the sender's thread).
        """
        places: list[tuple[object, str, str]] = [
            (self, "check", "check"),
            (self, "start", "start"),
            (self._queue, "submit", "submit"),
            (self._queue, "update", "update"),
            (self.auto, "admit", "choose"),
            (self.auto, "choose", "choose"),
            (self.engine, "run", "run"),
            *self._scheduler.stages(),
        ]
        before = [vars(owner).get(name) for owner, name, _ in places]
        for owner, name, stage in places:
            setattr(owner, name, around(getattr(owner, name), stage))
        try:
            yield
        finally:
            for (owner, name, _), own in zip(places, before, strict=True):
                if own is None:
                    delattr(owner, name)
                else:
                    setattr(owner, name, own)


def _defaults(
    manifest: Manifest, tokenizer: Tokenizer | None, config: ServerConfig, efforts: EffortTable | None
) -> Defaults:
    """Return what holds where a request says nothing.

    Raises:
        ConfigError: the default mode is one that the checkpoint does not have.
    """
    config.check_modes(manifest.modes)
    stale = efforts is not None and efforts.checkpoint_hash != manifest.checkpoint_hash
    return Defaults(
        vocab_size=manifest.vocab_size,
        block_length=min(manifest.block_size, MAX_BLOCK_LENGTH),
        end_id=manifest.eos_token_id,
        mask_token_id=manifest.mask_token_id,
        end_think_token_id=tokenizer.end_think_token_id if tokenizer else None,
        adapter=manifest.adapter,
        effort=STALE_EFFORTS if stale else efforts or NO_EFFORTS,
        mode=config.default_mode,
        modes=tuple(Mode(name) for name in manifest.modes),
        max_tokens=config.default_max_tokens,
        intervals=config.intervals,
        most_images=0 if manifest.vision is None else config.max_images,
        quadratic_length=manifest.compiled.quadratic_length if manifest.compiled else MAX_QUADRATIC_LENGTH,
    )


def _pass_limits(manifest: Manifest) -> PassLimits | None:
    """Return what a quadratic pass may have in mode auto; None where the engine holds none."""
    longest = manifest.compiled.quadratic_length if manifest.compiled else MAX_QUADRATIC_LENGTH
    if longest < SMALLEST_QUADRATIC:
        return None
    row = max(profile.seq[2] for profile in manifest.compiled.profiles) if manifest.compiled else sys.maxsize
    return PassLimits(longest * (longest + 1), longest**2, MAX_CALL_TOKENS, manifest.kv_form == "scatter", row)
