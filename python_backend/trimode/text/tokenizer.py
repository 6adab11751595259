"""Tokenizer: text to ids and back, with the chat template that belongs to it.

Knows nothing of requests or decoding.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, processors

from ..bundle.manifest import CHAT_TEMPLATE, TOKENIZER, TOKENIZER_CONFIG, Manifest
from ..errors import BundleError, Described, RequestError, TrimodeError, shorten
from .chat_length import check_length, written_in
from .chat_template import ChatTemplate, Tools, special_tokens
from .encoder.parts import unusual
from .encoder.process import EncoderProcess
from .library_errors import is_failure, raising
from .plain_text import PictureTokens, PlainText
from .special_tokens import MARK, in_every_text
from .template.process import TemplateProcess
from .vocabulary import Vocabulary

END_THINK = "</think>"
PROMPT = "the prompt"
"""What a text is called in an error where its field is not said."""
BROKEN = "\N{REPLACEMENT CHARACTER}"
"""What decoding writes for bytes that are no whole character."""
LAST = chr(0x10FFFF)
"""The last character of Unicode: a text with it appended sorts after every token that begins with the text."""


class Tokenizer:
    """Text to ids, ids to text. No begin-of-sequence token is ever added: the released chat format has none."""

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        template: ChatTemplate | TemplateProcess | str | None,
        special: Mapping[str, str],
        vocab_size: int | None = None,
        capacity: int | None = None,
        apart: EncoderProcess | None = None,
        picture_ids: Sequence[int] = (),
    ) -> None:
        """Take the library's tokenizer and a template, or the text of one, which may write the `special` tokens.

        Args:
            vocab_size: how many ids the model has; a text with tokens beyond these is refused.
            capacity: how many tokens the model holds; messages that cannot fit are refused before they are rendered.
            apart: encodes in place of `backend`.
            picture_ids: of pictures' tokens, the start's first; they count as text wherever a caller writes them.
        """
        self._backend = backend
        self.to_json: Callable[[], str] = backend.to_str  # the text of a tokenizer.json that makes the same tokens
        self._capacity = capacity
        self.joins = isinstance(backend.decoder, decoders.ByteLevel)  # a text is its tokens' texts joined
        # Nothing is ever added to a text, so this only counts a token's spaces among the characters it belongs to.
        backend.post_processor = processors.ByteLevel(trim_offsets=False)
        self._template = ChatTemplate(template, special) if isinstance(template, str) else template
        self.template_text = "" if self._template is None else self._template.text
        self._apart = apart
        names = backend.get_vocab(with_added_tokens=True)
        limit = max(names.values(), default=-1) + 1 if vocab_size is None else vocab_size
        self.vocab_size = limit
        self.beyond = {number: token for token, number in names.items() if number >= limit}
        """Tokens that the model does not have, by id; a checkpoint's tokenizer may have some that nobody uses."""
        end_think = backend.token_to_id(END_THINK)
        self.end_think_token_id: int | None = None if end_think in self.beyond else end_think
        self.longest = max(map(len, names), default=1)
        """Most characters one token can stand for."""
        added = backend.get_added_tokens_decoder()
        self.special_tokens = {token.content: number for number, token in added.items() if token.special}
        self.special_ids = tuple(sorted(self.special_tokens.values()))
        self.picture_ids = tuple(picture_ids)
        self.picture_tokens = PictureTokens(self.special_tokens, picture_ids)

    @classmethod
    def load(
        cls,
        bundle: Path,
        vocab_size: int | None = None,
        capacity: int | None = None,
        picture_ids: Sequence[int] = (),
    ) -> Tokenizer | None:
        """Read tokenizer.json, its config and the chat template from `bundle`; None when it has no tokenizer.

        Args:
            vocab_size, capacity: how many ids the model has, and how many tokens it holds.
            picture_ids: see Tokenizer.

        Raises:
            BundleError: a file is there but cannot be read.
        """
        path = bundle / TOKENIZER
        if not path.is_file():
            return None
        try:
            backend, apart = _opened(path.read_text(encoding="utf-8"), picture_ids)
            template = bundle / CHAT_TEMPLATE
            text = template.read_text(encoding="utf-8") if template.is_file() else None
            config_path = bundle / TOKENIZER_CONFIG
            config = json.loads(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
            special = special_tokens(config)
            chats = TemplateProcess(text, special) if text else None
            return cls(backend, chats, special, vocab_size, capacity, apart, picture_ids)
        except BaseException as exc:
            if not is_failure(exc):
                raise
            raise BundleError(f"the tokenizer files in {bundle} cannot be read: {exc}") from exc

    def fits(self, text: str, capacity: int) -> bool:
        """Whether `text` could encode to at most `capacity` tokens: a quick bound that saves encoding megabytes."""
        return len(text) <= capacity * self.longest

    def encode(self, text: str, *, marked: bool = False, field: str = PROMPT) -> list[int]:
        """Return the ids of `text`; special tokens written in it count as such, but those of pictures are text.

        Args:
            marked: the text is `render_chat`'s, in which those that count as text are marked.
            field: where the text came from.

        Raises:
            RequestError: the text has a token that the model does not have, or the library fails on it.
        """
        return self.encode_with_offsets(text, marked=marked, field=field)[0]

    def encode_with_offsets(
        self, text: str, *, marked: bool = False, field: str = PROMPT
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the ids of `text` and, for each, the characters that it belongs to, start and end.

        Tokens that are parts of one character all belong to that character. The rest is as in `encode`.
        """
        failed = RequestError(field, "could not be encoded by the tokenizer", Described(f"{len(text)} characters"))
        with raising(failed):
            if self._apart is not None:
                ids, offsets = self._apart.encode(text, marked=marked, field=field)
            elif marked and MARK in text:
                ids, offsets = self._plain.encode_marked(text)
            elif not marked and self.picture_tokens.first_in(text):
                ids, offsets = self._plain.encode_guarded(text, self.picture_tokens.ids)
            else:
                found = self._backend.encode(text, add_special_tokens=False)
                ids, offsets = found.ids, found.offsets
        if self.beyond and (unknown := next((number for number in ids if number in self.beyond), None)) is not None:
            limit = f"must have no token beyond the model's vocabulary of {self.vocab_size}"
            raise RequestError(field, limit, Described(f"{shorten(self.beyond[unknown], 40)}, token {unknown}"))
        return ids, offsets

    @cached_property
    def _plain(self) -> PlainText:
        return PlainText(self._backend)

    def meeting(self, text: str) -> list[int]:
        """Return, in order, the ids of tokens whose text begins with `text`, or with which `text` begins."""
        low, high = bisect_left(self._by_text, (text, -1)), bisect_left(self._by_text, (text + LAST, -1))
        longer = [number for _, number in self._by_text[low:high]]
        shorter = [number for end in range(1, len(text)) for number in self._of_text(text[:end])]
        return sorted([*longer, *shorter])

    def extends(self, text: str) -> bool:
        """Whether there is a longer token that begins with `text`."""
        at = bisect_left(self._by_text, (text + "\0", -1))
        return at < len(self._by_text) and self._by_text[at][0].startswith(text)

    def _of_text(self, text: str) -> list[int]:
        low, high = bisect_left(self._by_text, (text, -1)), bisect_left(self._by_text, (text + "\0", -1))
        return [number for _, number in self._by_text[low:high]]

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The bytes of every id."""
        return Vocabulary.of_tokenizer(self._backend)

    @cached_property
    def _by_text(self) -> list[tuple[str, int]]:
        """Every token that stands for whole characters: its text and id, sorted by text."""
        count = self._backend.get_vocab_size(with_added_tokens=True)
        with raising(TrimodeError("the tokenizer could not decode its own tokens")):
            texts = self._backend.decode_batch([[number] for number in range(count)], skip_special_tokens=True)
        return sorted((text, number) for number, text in enumerate(texts) if text and BROKEN not in text)

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """Return the text of `ids`, without special tokens unless these are asked for; broken UTF-8 becomes U+FFFD."""
        try:
            text: str = self._backend.decode(list(ids), skip_special_tokens=not special)
        except BaseException:  # outside of `raising`, since this runs once a token
            with raising(TrimodeError(f"the tokenizer could not decode {len(ids)} tokens")):
                raise
        return text

    def decode_whole(self, ids: Sequence[int]) -> str:
        """Return the text of `ids` without characters that are not whole."""
        return self.decode(ids).replace(BROKEN, "")

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        enable_thinking: bool,
        field: str = "messages",
        allow_special_tokens: bool = True,
        tools: Tools = None,
    ) -> str:
        """Return the prompt text of `messages`, ready for the assistant's turn.

        Args:
            field: where the messages came from.
            tools: those that the template lists, each {type, function}; None for none.
            allow_special_tokens: special tokens that are written in the messages count as such. Otherwise they are
                marked: `encode` the text with `marked`, and show it `unmarked`.

        Raises:
            RequestError: the checkpoint has no template, or the template refuses these messages.
            PromptTooLongError: they are longer than the capacity, by a bound that takes no time.
        """
        if self._template is None:
            limit = "requires a checkpoint with a chat template"
            if field == "messages":
                limit += "; plain text goes into text_input"
            raise RequestError(field, limit, Described("none"), error_type="not_applicable")
        written = [json.dumps(tools, ensure_ascii=False)] if tools else []
        if self._capacity is not None:
            texts = [*written, *map(written_in, messages)]
            check_length(texts, self._capacity, self.longest, field)
        if self.marks(allow_special_tokens=allow_special_tokens):
            change = partial(self.mark, allow_special_tokens=allow_special_tokens)
            messages, tools = in_every_text(change, list(messages)), tools and in_every_text(change, tools)
        messages = [{**one, "content": self.picture_tokens.with_places(one["content"])} for one in messages]
        return self._template.render(messages, enable_thinking=enable_thinking, field=field, tools=tools)

    def marks(self, *, allow_special_tokens: bool) -> bool:
        """Whether `render_chat` marks special tokens, so that its text is to be encoded with `marked`."""
        return not allow_special_tokens or bool(self.picture_tokens.ids)

    def mark(self, text: str, *, allow_special_tokens: bool = False) -> str:
        """Return `text` with special tokens marked, all or those of pictures, so that `encode` takes them for text."""
        if allow_special_tokens and not self.picture_tokens.ids:
            return text
        with raising(TrimodeError("the tokenizer could not find the special tokens of a text")):
            return self._plain.special_tokens.mark(text, self.picture_tokens.ids if allow_special_tokens else None)


def _opened(written: str, picture_ids: Sequence[int]) -> tuple[tokenizers.Tokenizer, EncoderProcess | None]:
    """Return what a tokenizer.json holds, and a process that encodes with it unless all its parts are harmless.

    Raises:
        ValueError: its decoder is not harmless; that runs for every token, too often for another process.
    """
    content = json.loads(written)
    if (part := unusual(content, "decoder")) is not None:
        raise ValueError(f"decoder: {part} is not one whose work is known to be bounded")
    apart = unusual(content, "normalizer") or unusual(content, "pre_tokenizer")
    return tokenizers.Tokenizer.from_str(written), EncoderProcess(written, picture_ids) if apart else None


def tokenizer_of(bundle: Path, manifest: Manifest) -> Tokenizer | None:
    """Read a bundle's tokenizer as its model uses it; see Tokenizer.load."""
    picture_ids = () if manifest.vision is None else manifest.vision.ids
    return Tokenizer.load(bundle, manifest.vocab_size, manifest.capacity, picture_ids)
