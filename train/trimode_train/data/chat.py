"""Conversations as text, rendered with the checkpoint's chat template as transformers does. Knows nothing about ids."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATE = Path(__file__).with_name("chat_template.jinja")
IMAGE_TEMPLATE = Path(__file__).with_name("chat_template_images.jinja")
"""The same for a model that sees: the parts of a message's content are rendered in their order."""

Message = dict[str, Any]
"""Its `role`, and its `content`: a text, or for IMAGE_TEMPLATE a list of parts."""


def _raise(message: str) -> NoReturn:
    raise jinja2.exceptions.TemplateError(message)


@cache
def _compiled(path: Path) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _raise
    return environment.from_string(path.read_text())


def render(
    messages: list[Message], *, enable_thinking: bool = False, generate: bool = True, template: Path = TEMPLATE
) -> str:
    """Return the text of a conversation; with `generate` it ends where the assistant's next reply begins."""
    return _compiled(template).render(
        messages=messages,
        add_generation_prompt=generate,
        enable_thinking=enable_thinking,
        bos_token="<s>",
        eos_token="<|im_end|>",
    )
