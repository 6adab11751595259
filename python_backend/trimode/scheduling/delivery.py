"""From committed tokens to the chunks that a client gets: text, stop words, and what goes with the last chunk.

Knows nothing of engines or queues.
"""

from __future__ import annotations

import time

from ..api.answer import Chunk, Decisions
from ..decoding.sequence import SequenceState
from ..errors import TrimodeError
from .job import Job
from .snapshot import BlockSnapshot

MOST_PASSES = 64
"""Passes that one response has at most, however long a watcher is ready to wait: 64 blocks are some 200 KB of JSON."""


def add_text(job: Job, committed: list[int]) -> None:
    """Turn newly committed tokens into pending text; a stop word in it ends the answer at its token."""
    if committed:
        job.timing.gave(len(committed), time.monotonic())
    seq = job.sequence
    ended = bool(committed) and seq.finish_reason == "stop" and hides_end(seq, committed[-1])
    text, used, stopped = job.text.push(committed[:-1] if ended else committed)
    if not stopped and seq.done:
        rest, stopped = job.text.finish()
        text += rest
    if stopped:
        seq.truncate(len(seq.tokens) - len(committed) + used)
        seq.finish("stop")
    job.pending += text


def hides_end(seq: SequenceState, last: int) -> bool:
    """Whether the token `last`, which ended the answer, leaves nothing in its text.

    A token of `end_id` is a special one as a rule, and its text is left out with those of all special tokens.
    """
    params = seq.params
    if params.returns.include_stop_str_in_output or not params.is_end(last):
        return False
    return last in params.choice.stop_token_ids or not params.returns.skip_special_tokens


def note_pass(job: Job) -> None:
    """Keep the block as the pass that was just applied left it, for who watches."""
    job.passes.append(BlockSnapshot.of(job.sequence, said=len(job.prompt_text) + len(job.pending)))


def is_due(job: Job) -> bool:
    """Whether a request that streams is to send what it has before its answer is complete.

    Its first response goes at once. Another one goes when so many tokens wait, or so long after the last one, as the
    request says. Blocks to watch go after each pass or, where milliseconds are given, so long after the last response
    or the request. It is asked when tokens or a block come, so what time alone calls for goes with the next ones.
    """
    returns = job.sequence.params.returns
    if not returns.stream or not (job.pending or job.passes or returns.return_token_ids):
        return False
    if job.passes:
        if returns.stream_interval or len(job.passes) >= MOST_PASSES:
            return True
    elif job.sent_at is None or 0 < returns.stream_interval <= len(job.sequence.tokens) - job.sent:
        return True
    limit, since = returns.stream_interval_ms, job.submitted if job.sent_at is None else job.sent_at
    return limit > 0 and 1000 * (time.monotonic() - since) >= limit


def send(job: Job, chunk: Chunk) -> None:
    """Send what is pending of an answer as `chunk`, and the blocks of passes that are."""
    seq = job.sequence
    chunk.text, job.prompt_text = job.prompt_text + job.pending, ""
    chunk.token_ids = seq.tokens[job.sent :]
    chunk.log_probs = seq.log_probs[job.sent :]
    chunk.top = [seq.tops[at] for at in range(job.sent, len(seq.tokens))] if seq.tops else []
    chunk.prompt, seq.prompt_log_probs = seq.prompt_log_probs, None
    job.pending, job.sent, job.sent_at = "", len(seq.tokens), time.monotonic()
    passes, job.passes = job.passes, []
    if passes:
        job.watch(chunk, passes)
    else:
        job.deliver(chunk)


def send_held_back(job: Job) -> None:
    """Send what a stream still holds back of an answer that an error is about to end."""
    returns = job.sequence.params.returns
    tokens = returns.return_token_ids and job.sent < len(job.sequence.tokens)
    if returns.stream and (job.pending or job.passes or tokens):
        send(job, Chunk())


def last_chunk(job: Job, decisions: Decisions | None, error: TrimodeError | None = None) -> Chunk:
    """Return the chunk that ends an answer: with its counters, or with the error that ended it."""
    seq = job.sequence
    return Chunk(
        finish_reason=None if error else seq.finish_reason,
        error=error,
        counters=seq.counters,
        num_input_tokens=len(seq.prompt),
        auto=decisions,
        seconds=time.monotonic() - job.submitted,
        timing=job.timing,
    )
