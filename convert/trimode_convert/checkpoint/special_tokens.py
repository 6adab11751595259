"""Special tokens of a checkpoint, and one without a use, which the engine's layout takes for its mask.

Knows tokenizer.json, tokenizer_config.json and chat_template.jinja of Hugging Face.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimode.bundle.manifest import CHAT_TEMPLATE, TOKENIZER, TOKENIZER_CONFIG

from .keys import Keys

ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


@dataclass(frozen=True)
class TokenTable:
    """The special tokens by id, those that have a role by the role's name, and the text of the chat template."""

    special: Mapping[int, str]
    roles: Mapping[str, str]
    template: str = ""

    @classmethod
    def load(cls, folder: Path) -> TokenTable | None:
        """Read the tokenizer's files in `folder`; None without tokenizer.json.

        Raises:
            CheckpointError: a file is no JSON object.
        """
        if not (folder / TOKENIZER).is_file():
            return None
        added = Keys.load(folder / TOKENIZER).values.get("added_tokens") or ()
        config: Mapping[str, Any] = {}
        if (folder / TOKENIZER_CONFIG).is_file():
            config = Keys.load(folder / TOKENIZER_CONFIG).values
        path = folder / CHAT_TEMPLATE
        written = path.read_text(encoding="utf-8") if path.is_file() else str(config.get("chat_template") or "")
        roles = {role: _text(config[role]) for role in ROLES if config.get(role)}
        return cls({token["id"]: token["content"] for token in added if token.get("special")}, roles, written)

    @property
    def end(self) -> int | None:
        """The id of the token that tokenizer_config.json names as the end, if it is special."""
        return next((number for number, text in self.special.items() if text == self.roles.get("eos_token")), None)


def unused_special(table: TokenTable, used: Collection[int], vocab_size: int) -> int | None:
    """Return the highest special id that is not `used`, has no role and is not in the chat template; None without."""
    free = [
        number
        for number, text in table.special.items()
        if number < vocab_size
        and number not in used
        and text not in table.roles.values()
        and text not in table.template
    ]
    return max(free, default=None)


def _text(value: Any) -> str:
    return str(value.get("content", "")) if isinstance(value, Mapping) else str(value)
