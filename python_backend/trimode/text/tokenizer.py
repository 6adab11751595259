"""Tokenizer: text to ids and back, and the checkpoint's own chat template, as the transformers library renders it.

Knows nothing of requests or decoding.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import tokenizers
from tokenizers import processors

from ..bundle.manifest import CHAT_TEMPLATE, TOKENIZER, TOKENIZER_CONFIG
from ..errors import BundleError, Described, RequestError
from .vocabulary import Vocabulary, bytes_of

END_THINK = "</think>"
BROKEN = "\N{REPLACEMENT CHARACTER}"
LAST = chr(0x10FFFF)


class Tokenizer:
    """Text to ids, ids to text. No begin-of-sequence token is ever added: the released chat format has none."""

    def __init__(self, backend: tokenizers.Tokenizer, template: str | None, special: Mapping[str, str]) -> None:
        self._backend = backend
        # Nothing is ever added to a text, so this only keeps the spaces of a token among the characters it belongs to.
        backend.post_processor = processors.ByteLevel(trim_offsets=False)
        self._special = dict(special)
        self._template = _environment().from_string(template) if template else None
        self.end_think_token_id: int | None = backend.token_to_id(END_THINK)
        longest = max((len(token) for token in backend.get_vocab(with_added_tokens=True)), default=1)
        self.longest = longest
        """Most characters one token can stand for."""
        added = backend.get_added_tokens_decoder()
        self.special_ids = tuple(sorted(number for number, token in added.items() if token.special))

    @classmethod
    def load(cls, bundle: Path) -> Tokenizer | None:
        """Read tokenizer.json, its config and the chat template from `bundle`; None when it has no tokenizer.

        Raises:
            BundleError: a file is there but cannot be read.
        """
        path = bundle / TOKENIZER
        if not path.is_file():
            return None
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
            template = bundle / CHAT_TEMPLATE
            text = template.read_text(encoding="utf-8") if template.is_file() else None
            config_path = bundle / TOKENIZER_CONFIG
            config = json.loads(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
            return cls(backend, text, _special_tokens(config))
        except Exception as exc:  # tokenizers raises plain Exception on a bad file
            raise BundleError(f"the tokenizer files in {bundle} cannot be read: {exc}") from exc

    def fits(self, text: str, capacity: int) -> bool:
        """Whether `text` could encode to at most `capacity` tokens; a quick bound that spares encoding megabytes."""
        return len(text) <= capacity * self.longest

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`; special tokens written in it count as such."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the ids of `text` and, for each, the characters that it belongs to, start and end.

        Tokens that are parts of one character all belong to that character.
        """
        found = self._backend.encode(text, add_special_tokens=False)
        return found.ids, found.offsets

    def meeting(self, text: str) -> list[int]:
        """Return the ids of tokens that `text` and nothing else could begin with, or that go beyond it, in order."""
        low = bisect_left(self._by_text, (text, -1))
        high = bisect_left(self._by_text, (text + LAST, -1))
        longer = [number for _, number in self._by_text[low:high]]
        shorter = [number for end in range(1, len(text)) for number in self._of_text(text[:end])]
        return sorted([*longer, *shorter])

    def extends(self, text: str) -> bool:
        """Whether there is a token that begins with `text` and is longer."""
        at = bisect_left(self._by_text, (text + "\0", -1))
        return at < len(self._by_text) and self._by_text[at][0].startswith(text)

    def _of_text(self, text: str) -> list[int]:
        low, high = bisect_left(self._by_text, (text, -1)), bisect_left(self._by_text, (text + "\0", -1))
        return [number for _, number in self._by_text[low:high]]

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The bytes behind every id; written for byte-level tokenizers, as all released checkpoints have."""
        added = self._backend.get_added_tokens_decoder()
        names = {number: token for token, number in self._backend.get_vocab(with_added_tokens=True).items()}
        tokens = (names.get(number, "") for number in range(max(names, default=-1) + 1))
        return Vocabulary([name.encode() if at in added else bytes_of(name) for at, name in enumerate(tokens)])

    @cached_property
    def _by_text(self) -> list[tuple[str, int]]:
        """Every token that stands for whole characters: its text and id, by text."""
        count = self._backend.get_vocab_size(with_added_tokens=True)
        texts = self._backend.decode_batch([[number] for number in range(count)], skip_special_tokens=True)
        return sorted((text, number) for number, text in enumerate(texts) if text and BROKEN not in text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids` without special tokens; broken UTF-8 becomes U+FFFD."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=True)
        return text

    def decode_whole(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, characters that are not whole left out."""
        return self.decode(ids).replace(BROKEN, "")

    def render_chat(
        self, messages: Sequence[Mapping[str, Any]], *, enable_thinking: bool, field: str = "messages"
    ) -> str:
        """Return the prompt text of `messages`, ready for the assistant's turn; `field` is where they came from.

        Raises:
            RequestError: the checkpoint has no template, or the template refuses these messages.
        """
        if self._template is None:
            raise RequestError(
                field, "need a checkpoint with a chat template", Described("none"), error_type="not_applicable"
            )
        try:
            return self._template.render(
                messages=list(messages), add_generation_prompt=True, enable_thinking=enable_thinking, **self._special
            )
        except Exception as exc:  # the template is the checkpoint's code: it may fail in any way
            raise RequestError(field, f"were refused by the chat template: {exc}", messages) from exc


class Detokenizer:
    """Ids in, text out, piece by piece; the pieces joined are exactly `decode` of all ids.

    A piece is held back while its last bytes may still become a character; written for byte-level tokenizers, as all
    released checkpoints have.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0  # where the window of tokens that give the next piece its context begins
        self._read = 0  # tokens whose text is out

    def hold(self, ids: Sequence[int]) -> None:
        """Take in `ids` without decoding them yet."""
        self._ids += ids

    def push(self, ids: Sequence[int]) -> str:
        """Take in `ids`; return the text that became certain."""
        self.hold(ids)
        piece = self._pending()
        if not piece.endswith(BROKEN):
            if piece:
                self._start, self._read = self._read, len(self._ids)
            return piece
        # An unfinished character has at most 3 bytes, so it lies in the last 3 tokens; what is before may be certain.
        for cut in range(len(self._ids) - 1, max(self._read, len(self._ids) - 4), -1):
            tail = self._text(cut)
            if tail and self._text(self._start, cut) + tail == self._text(self._start):
                return self._advance(cut)
        return ""

    def finish(self) -> str:
        """Return what was held back; broken bytes become U+FFFD."""
        return self._advance(len(self._ids))

    def _pending(self) -> str:
        return self._text(self._start)[len(self._text(self._start, self._read)) :]

    def _advance(self, end: int) -> str:
        """Return the text of the tokens up to `end` that are not out yet."""
        piece = self._text(self._start, end)[len(self._text(self._start, self._read)) :]
        self._start, self._read = self._read, end
        return piece

    def _text(self, start: int, end: int | None = None) -> str:
        return self._tokenizer.decode(self._ids[start:end])


class GenerationBlock(jinja2.ext.Extension):
    """The template tag `{% generation %}`, which marks the assistant's part for training; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012  # the base class declares it so

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        """Return the body as it stands."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> jinja2.Environment:
    def refuse(message: str) -> NoReturn:
        raise jinja2.TemplateError(message)

    def tojson(value: object, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, GenerationBlock]
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.filters["tojson"] = tojson
    return environment


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        value = config.get(name)
        if isinstance(value, Mapping):
            value = value.get("content")
        if isinstance(value, str):
            found[name] = value
    return found
