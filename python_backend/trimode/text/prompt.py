"""The prompt of a request to generate: its text, its tokens, and the room that it leaves for an answer.

The model reads prompts by it, and the server's front counts them by it. Knows nothing of requests but their prompts.
"""

from __future__ import annotations

from ..api.fields import Mode
from ..api.params import PromptParams
from ..errors import PromptTooLongError, RequestError
from .special_tokens import unmarked
from .tokenizer import Tokenizer


def read_text(prompt: PromptParams, tokenizer: Tokenizer, capacity: int) -> tuple[str, list[int]]:
    """Return the text of a prompt that is a text or messages, as people read it, and its ids.

    Of a picture in a message there is one id, that of its start; pictures beside a text are not among them.

    Args:
        capacity: how many tokens the model holds.

    Raises:
        RequestError: it is empty, or the chat template or the tokenizer refuses it.
        PromptTooLongError: it cannot fit.
    """
    text = prompt.text_input
    if text is None:
        text = render_messages(prompt, tokenizer)
    if not text:
        raise RequestError(prompt.field, "must not be empty", text)
    special = prompt.allow_special_tokens
    marked = prompt.messages is not None and tokenizer.marks(allow_special_tokens=special)
    shown = unmarked(text) if marked else text
    if not tokenizer.fits(shown, capacity):
        limit = f"must fit the capacity of {capacity} tokens"
        raise PromptTooLongError(prompt.field, limit, f"{len(shown)} characters")
    ids = tokenizer.encode(text, marked=marked, field=prompt.field)
    if not ids:
        raise RequestError(prompt.field, "must hold at least one token", text)
    return shown, ids


def render_messages(prompt: PromptParams, tokenizer: Tokenizer) -> str:
    """Return the text of `messages`, ready for the answer; the assistant's begun turn is its beginning, if asked."""
    assert prompt.messages is not None
    begun = str(prompt.messages[-1]["content"]) if prompt.continue_final_message else ""
    before = prompt.messages[:-1] if prompt.continue_final_message else prompt.messages
    special = prompt.allow_special_tokens
    text = tokenizer.render_chat(before, enable_thinking=prompt.enable_thinking, allow_special_tokens=special)
    return text + tokenizer.mark(begun, allow_special_tokens=special)


def block_beside(mode: Mode, block_length: int) -> int:
    """Return for how many tokens beside the answer there must be room: single tokens need no block, nor does auto."""
    return 0 if mode in (Mode.AUTOREGRESSIVE, Mode.AUTO) else block_length


def room_after(count: int, *, block: int, capacity: int, field: str) -> int:
    """Return how many tokens an answer may have after a prompt of `count` tokens.

    Args:
        block: see block_beside.
        field: where the prompt came from.

    Raises:
        PromptTooLongError: there is no room for one.
    """
    room = capacity - count - block
    if room < 1:
        needs = f"a block of {block} and a token" if block else "a token"
        limit = f"must leave room for {needs} in the capacity of {capacity} tokens"
        raise PromptTooLongError(field, limit, f"{count} tokens")
    return room
