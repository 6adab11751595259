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


def add_text(job: Job, committed: list[int]) -> None:
    """Turn newly committed tokens into pending text; a stop word in it ends the answer at its token."""
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


def is_due(job: Job) -> bool:
    """Whether a request that streams is to send what it has before its answer is complete.

    Its first response goes at once. Another one goes when so many tokens wait, or so long after the last one, as the
    request says. It is asked when tokens come, so a response that time alone calls for goes with the next tokens.
    """
    returns = job.sequence.params.returns
    if not returns.stream or not (job.pending or returns.return_token_ids):
        return False
    if job.sent_at is None or 0 < returns.stream_interval <= len(job.sequence.tokens) - job.sent:
        return True
    limit = returns.stream_interval_ms
    return limit > 0 and 1000 * (time.monotonic() - job.sent_at) >= limit


def send(job: Job, chunk: Chunk, snapshot: BlockSnapshot | None = None) -> None:
    """Send what is pending of an answer as `chunk`, with a snapshot of its block if there is one."""
    seq = job.sequence
    chunk.text, job.prompt_text = job.prompt_text + job.pending, ""
    chunk.token_ids = seq.tokens[job.sent :]
    chunk.log_probs = seq.log_probs[job.sent :]
    chunk.top = [seq.tops[at] for at in range(job.sent, len(seq.tokens))] if seq.tops else []
    chunk.prompt, seq.prompt_log_probs = seq.prompt_log_probs, None
    job.pending, job.sent, job.sent_at = "", len(seq.tokens), time.monotonic()
    if snapshot is None:
        job.deliver(chunk)
    else:
        job.watch(chunk, snapshot)


def send_held_back(job: Job) -> None:
    """Send what a stream still holds back of an answer that an error is about to end."""
    returns = job.sequence.params.returns
    if returns.stream and (job.pending or (returns.return_token_ids and job.sent < len(job.sequence.tokens))):
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
