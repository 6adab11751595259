"""The model card: fixed text around the numbers of one training run and one measurement of its checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from safetensors import safe_open

TEXT = Path(__file__).with_name("card.md")


def _parameters(folder: Path) -> int:
    with safe_open(folder / "model.safetensors", "pt") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118


def write_card(folder: Path, training: dict[str, Any], results: str = "Not measured yet.") -> None:
    """Fill the card's text from config.json, the training record and a results table, and write README.md."""
    config = json.loads((folder / "config.json").read_text())
    megabytes = (folder / "model.safetensors").stat().st_size / 1e6
    text = TEXT.read_text()
    values = {
        **config,
        **training,
        "million_tokens": f"{training['tokens'] / 1e6:.1f}",
        "parameters": f"{_parameters(folder):,}",
        "asked": sum('"messages"' in line for line in (folder / "heldout.jsonl").read_text().splitlines()),
        "megabytes": f"{megabytes:.1f}",
        "results": results,
    }
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", str(value))
    (folder / "README.md").write_text(text)
