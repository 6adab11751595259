"""What the requests of the three operations use alike. Knows none of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from ..api.answer import Chunk
from ..api.params import GenerationParams
from ..bundle.manifest import Manifest
from ..errors import Described, RequestError
from ..grammar.compiler import Compiler
from ..scheduling.job import Job
from ..scheduling.outbox import Outbox, Sink
from ..scheduling.queue import JobQueue
from ..scheduling.token_texts import TokenTexts
from ..text.tokenizer import Tokenizer
from ..vision.encoder import Encoder
from ..vision.loader import Loader
from .request import Handle, Request


@dataclass(frozen=True)
class Services:
    """What a request may use.

    Attributes:
        capacity: most tokens that a sequence may hold.
        banned: ids that must not stand in a text that is filled or revised.
        adapter: whether the checkpoint has a draft adapter.
        grammars: compiles what answers must match; None without a tokenizer.
        encoder: encodes pictures, off the scheduler's thread; None where the checkpoint reads text alone.
        loader: gets and prepares them; None with no encoder.
        stores_passes: whether the cache must hold every token of a pass, also those that do not stay.
    """

    queue: JobQueue
    outbox: Outbox
    tokenizer: Tokenizer | None
    mask_token_id: int
    capacity: int
    banned: tuple[int, ...]
    adapter: bool
    grammars: Compiler | None = None
    stores_passes: bool = False
    encoder: Encoder | None = None
    loader: Loader | None = None

    @cached_property
    def token_texts(self) -> TokenTexts:
        """The texts of tokens that stand in blocks which somebody watches."""
        return TokenTexts(self.tokenizer)

    def capacity_for(self, params: GenerationParams) -> int:
        """Return the most tokens that the sequence of a request may hold beside one block of it.

        A quadratic pass has L (L + 1) tokens, of which L - 1 may stand where the answer's last tokens will.
        """
        if not self.stores_passes or params.block.speculation == "linear":
            return self.capacity
        length = params.block.block_length
        return self.capacity - length * (length - 2)

    def tokenizer_for(self, field: str, given: object = Described("a text"), hint: str = "") -> Tokenizer:
        """Return the tokenizer, which `field` needs; raise a RequestError if there is none."""
        if self.tokenizer is None:
            limit = f"needs a checkpoint with a tokenizer{hint}"
            raise RequestError(field, limit, given, error_type="not_applicable")
        return self.tokenizer

    def submit(self, job: Job, request: Request) -> Handle:
        """Queue a request's only job, with the time that the request may take."""
        job.claim, job.deadline = request.claim, request.deadline
        job.submitted = job.timing.submitted = request.arrived
        job.sequence.counters.image_tokens = request.pictures.tokens
        self.queue.submit(job)
        return Handle(job.sequence.params, lambda: self.queue.cancel(job))

    def post(self, sink: Sink) -> Callable[[Chunk], None]:
        """Return a function that hands a chunk to `sink` on the sender's thread; it does not block."""
        return lambda chunk: self.outbox.post(sink, chunk)


def banned_ids(manifest: Manifest, tokenizer: Tokenizer | None) -> tuple[int, ...]:
    """Return the ids that must not stand in a text that is filled or revised: the special ones."""
    special = {*(tokenizer.special_ids if tokenizer else ()), manifest.eos_token_id}
    return tuple(sorted(token for token in special if 0 <= token < manifest.vocab_size))  # a tokenizer may have more


def compiler_for(tokenizer: Tokenizer, manifest: Manifest) -> Compiler:
    """Return what compiles grammars for a checkpoint's vocabulary."""
    return Compiler(tokenizer.to_json, manifest.vocab_size, manifest.eos_token_id)
