"""What a card says of a checkpoint that reads pictures. Of one that reads text alone every part is empty."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trimode.api.fields import Mode

from ..common.markdown import fill
from . import tables
from .claims import READ_AT_LEAST, reads, seeing

TEXT = Path(__file__).with_name("pictures.md")
PARTS = ("picture_tag", "picture_intro", "picture_tower", "picture_section", "picture_data")


def parts(results: dict[str, Any], config: dict[str, Any], words: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the parts by their names in card.md; `words` are those of words.json."""
    if "pictures" not in results:
        return dict.fromkeys(PARTS, "")
    asked, tower, say = results["pictures"]["asked"], config["vision_config"], words["sentences"]
    known = [_about(name, words, asked) for name in reads(results)]
    size, layers = tower["hidden_size"], tower["num_hidden_layers"]
    values = {
        "layers": layers,
        "size": size,
        "can": "\n".join(f"- {line}" for line in known) or "- nothing well enough",
        "cannot": "\n".join(f"- {line}" for line in _cannot(results, words)) or "- nothing of what was asked",
        "per_domain": asked["per_domain"],
        "max_tokens": asked["max_tokens"],
        "least": f"{READ_AT_LEAST:.0%}",
        "table": tables.pictures(results),
        "language_model": _language_model(results, say),
    }
    return {
        "picture_tag": ", image-text-to-text",
        "picture_intro": "\n" + say["picture_intro"].format(domains="; ".join(known) or "none well enough"),
        "picture_tower": "\n" + say["picture_tower"].format(layers=layers, size=size, **_sizes(tower)),
        "picture_section": fill(TEXT, values),
        "picture_data": "\n\n" + say["picture_data"],
    }


def _sizes(tower: dict[str, Any]) -> dict[str, int]:
    return {name: tower[name] for name in ("num_attention_heads", "head_dim", "intermediate_size", "patch_size")}


def _about(name: str, words: dict[str, dict[str, str]], asked: dict[str, Any]) -> str:
    return words["pictures"].get(name, name.replace("_", " ")).format(**asked)


def _cannot(results: dict[str, Any], words: dict[str, dict[str, str]]) -> Iterable[str]:
    """Say which domains are not claimed, with their figures."""
    serial = seeing(results, Mode.AUTOREGRESSIVE, blank=False)["domains"]
    known = reads(results)
    for name in serial:
        if name not in known:
            about, share = _about(name, words, results["pictures"]["asked"]), tables.exact(serial[name])
            yield words["sentences"]["picture_not_claimed"].format(about=about, name=name, share=share)


def _language_model(results: dict[str, Any], say: dict[str, str]) -> str:
    """Say whose weights the language model has, and that its own tasks were asked too."""
    found = results["pictures"]["language_model"]
    same = found["equal"] == found["tensors"]
    ours = results["runs"][0]["all"]["accuracy"]
    text = say["same_text_weights" if same else "other_text_weights"].format(**found)
    return text + "\n" + say["text_stays"].format(ours=f"{ours:.1%}", theirs=f"{found['accuracy']:.1%}", of=found["of"])
