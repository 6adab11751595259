"""A request to revise a text: text and character spans in, the changed text and its edits out.

One sequence in the scheduler; which tokens are reconsidered and which changes stay is in modes/revise.py.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .errors import EngineError, PromptTooLongError, RequestError
from .modes.revise import go_on
from .output import Chunk, Edit
from .params import GenerationParams
from .sequence import Revision, Sequence
from .tokenizer import Tokenizer

JOINER = "\N{ZERO WIDTH JOINER}"


@dataclass(frozen=True)
class Original:
    """The text to revise as the tokenizer sees it: its ids and, for each, the characters that it belongs to."""

    text: str
    context: list[int]
    ids: list[int]
    offsets: list[tuple[int, int]]

    @classmethod
    def of(cls, params: GenerationParams, tokenizer: Tokenizer, capacity: int) -> Original:
        """Read it from a request.

        Raises:
            RequestError: the text is empty, a span lies outside it or cuts a character, or there is no chat template
                for the instruction.
            PromptTooLongError: instruction, text and one block do not fit `capacity`.
        """
        text, rendered = params.text or "", ""
        if not text:
            raise RequestError("text", "must not be empty", text)
        _check_spans(params.spans, text)
        if params.instruction is not None:
            asked = [{"role": "user", "content": params.instruction}]
            rendered = tokenizer.render_chat(asked, enable_thinking=False, field="instruction")
        room = capacity - params.block_length
        limit = f"must leave room for a block of {params.block_length} in the capacity of {capacity} tokens"
        if not tokenizer.fits(rendered + text, room):
            raise PromptTooLongError("text", limit, f"{len(rendered) + len(text)} characters")
        context = tokenizer.encode(rendered) if rendered else []
        ids, offsets = tokenizer.encode_with_offsets(text)
        if not ids:
            raise RequestError("text", "must hold at least one token", text)
        if len(context) + len(ids) > room:
            raise PromptTooLongError("text", limit, f"{len(context) + len(ids)} tokens")
        return cls(text, context, ids, offsets)

    def touched(self, spans: tuple[tuple[int, int], ...]) -> npt.NDArray[np.bool_]:
        """Return which tokens share a character with a span; all when there is none."""
        if not spans:
            return np.ones(len(self.ids), dtype=bool)
        inside = np.zeros(len(self.text), dtype=np.int64)
        for start, end in spans:
            inside[start:end] = 1
        before = np.concatenate([[0], np.cumsum(inside)])  # characters in spans left of each place
        starts, ends = np.array(self.offsets).T
        return np.asarray(before[ends] > before[starts])

    def edits(self, after: list[int], tokenizer: Tokenizer) -> list[Edit]:
        """Return what the tokens became in `after`, token for token, as changes of whole characters, left to right."""
        before, offsets = self.ids, self.offsets
        inside = [False] + [offsets[at][0] < offsets[at - 1][1] for at in range(1, len(before))]  # of a character
        edits, at = [], 0
        while at < len(before):
            if before[at] == after[at]:
                at += 1
                continue
            first, last = at, at + 1
            while inside[first]:
                first -= 1
            while last < len(before) and (inside[last] or before[last] != after[last]):
                last += 1
            start, end = offsets[first][0], offsets[last - 1][1]
            new = tokenizer.decode_whole(after[first:last])
            if new != self.text[start:end]:
                edits.append(Edit(start, end, self.text[start:end], new))
            at = last
        return edits


def sequence_of(params: GenerationParams, original: Original, mask_token_id: int, banned: tuple[int, ...]) -> Sequence:
    """Return the sequence that revises `original`; ids of `banned` are never put in and, where they are, left alone."""
    ids = np.array([*original.context, *original.ids], dtype=np.int64)
    allowed = np.concatenate([np.zeros(len(original.context), dtype=bool), original.touched(params.spans)])
    revision = Revision(
        ids=ids,
        allowed=allowed & ~np.isin(ids, [*banned, mask_token_id]),
        threshold=params.revise_threshold,
        fraction=params.revise_fraction,
        rounds=params.revise_rounds,
        always=params.accept == "always",
        banned=banned,
        # A model's turn ends with its end token and was trained with more of them up to the block's end.
        filler=params.end_id if original.context else mask_token_id,
    )
    seq = Sequence(params, original.context, mask_token_id, revision=revision)
    if not original.context:
        go_on(seq)  # there is nothing to prefill
    return seq


def answer(chunk: Chunk, seq: Sequence, original: Original, tokenizer: Tokenizer) -> Chunk:
    """Return the last chunk of `seq` with the revised text and its edits."""
    chunk = replace(chunk, num_input_tokens=len(original.context) + len(original.ids))
    if chunk.error is not None:
        return chunk
    try:
        edits = original.edits(seq.tokens, tokenizer)
    except Exception as exc:  # the request must be answered all the same
        return replace(chunk, finish_reason=None, error=EngineError(f"the text could not be put together: {exc!r}"))
    return replace(chunk, text=apply_edits(original.text, edits), edits=edits)


def apply_edits(text: str, edits: list[Edit]) -> str:
    """Return `text` with `edits` made."""
    pieces, at = [], 0
    for edit in edits:
        pieces += [text[at : edit.start], edit.after]
        at = edit.end
    return "".join([*pieces, text[at:]])


def _check_spans(spans: tuple[tuple[int, int], ...], text: str) -> None:
    for span in spans:
        if span[1] > len(text):
            raise RequestError("spans", f"must lie inside the text of {len(text)} characters", list(span))
        for at in span:
            if _cuts(text, at):
                raise RequestError("spans", f"must not cut the character {text[at - 1 : at + 1]!r} at {at}", list(span))


def _cuts(text: str, at: int) -> bool:
    """Whether `at` lies before a mark that belongs to the letter left of it, or at a joiner."""
    if not 0 < at < len(text):
        return False
    return unicodedata.category(text[at]) in ("Mn", "Mc", "Me") or JOINER in text[at - 1 : at + 1]
