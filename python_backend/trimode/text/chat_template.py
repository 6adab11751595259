"""The checkpoint's own chat template: messages in, prompt text out, rendered as the transformers library renders it.

Knows Jinja. Knows nothing of tokens, and which messages a request may have is not checked here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from ..errors import Described, RequestError, shorten

SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")
"""The entries of tokenizer_config.json that a template can use as variables."""
MOST_CHARACTERS = 8 * 2**20
"""Characters of a rendered prompt; a request's body has no more bytes than that by default."""
MOST_REASON = 200
"""Characters of the reason why a template failed: the template may write it, and it goes into the answer."""
Tools = Sequence[Mapping[str, Any]] | None


class ChatTemplate:
    """A template and the special tokens that it may write."""

    def __init__(self, text: str, special: Mapping[str, str]) -> None:
        """Compile the template; `special` are its tokens by name.

        Raises:
            jinja2.TemplateError: it is not a template.
        """
        self.text = text
        self._template = _environment().from_string(text)
        self._special = dict(special)

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, enable_thinking: bool, field: str, tools: Tools = None
    ) -> str:
        """Return the prompt text of `messages`, ready for the assistant's turn; `field` is where they came from.

        Args:
            tools: those that the template lists, each {type, function}; None for none.

        Raises:
            RequestError: the template refuses these messages.
        """
        values = {**self._special, "messages": list(messages), "enable_thinking": enable_thinking, "tools": tools}
        try:
            return _joined(self._template.generate(**values, add_generation_prompt=True))
        except Exception as exc:  # the template is the checkpoint's code: it may fail in any way
            limit = f"could not be rendered by the chat template: {reason_of(exc)}"
            raise RequestError(field, limit, messages) from exc


def reason_of(exc: Exception) -> str:
    """Return what an exception of a template says, in at most MOST_REASON characters."""
    return shorten(Described(str(exc) or type(exc).__name__), MOST_REASON)


def check_syntax(text: str) -> None:
    """Read a template without compiling it: the compiler computes what is constant, whatever that takes.

    Raises:
        jinja2.TemplateError: it is not a template.
    """
    _environment().parse(text)


def _joined(pieces: Iterable[str]) -> str:
    """Join what a template writes, piece by piece, so that a loop that writes for ever is noticed."""
    found, size = list[str](), 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size > MOST_CHARACTERS:
            raise jinja2.TemplateError(f"it wrote more than {MOST_CHARACTERS} characters")
    return "".join(found)


def special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens of a tokenizer_config.json that a template may write, by name."""
    found = {}
    for name in SPECIAL_TOKENS:
        value = config.get(name)
        if isinstance(value, Mapping):
            value = value.get("content")
        if isinstance(value, str):
            found[name] = value
    return found


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
