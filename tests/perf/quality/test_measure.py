"""A checkpoint is measured from end to end, its perplexity beside one by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.bundle.manifest import Manifest
from trimode.engines.base import Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.text.tokenizer import Tokenizer
from trimode_perf.common import NANO
from trimode_perf.quality import measure, run
from trimode_train.data.chat import IMAGE_TEMPLATE
from trimode_train.data.tokenizer import load_tokenizer, with_images

from tests.support import checkpoints as checkpoint_factory
from tests.support import vision_checkpoints


def test_nats_of_a_flat_distribution() -> None:
    found = measure.nats(np.full((2, 8), 3.0, dtype=np.float32), np.array([0, 7]))
    assert found == pytest.approx([math.log(8)] * 2)


def write_held_out(folder: Path) -> list[tuple[list[dict[str, str]], str]]:
    """Write held-out prompts of two domains of chats and one of plain texts; return the chats with their replies."""
    chats = [([{"role": "user", "content": f"What is {n} + 1?"}], f"{n}+1\nAnswer: {n + 1}") for n in (1, 20)]
    lines: list[dict[str, Any]] = [{"domain": "addition", "messages": asked, "answer": told} for asked, told in chats]
    lines.append({"domain": "to_json", "messages": [{"role": "user", "content": "a is 1"}], "answer": '{"a": 1}'})
    lines.append({"domain": "code", "prompt": "def f(x):\n    return x\n"})
    (folder / "heldout.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return chats


@pytest.mark.subprocess  # chats are rendered in a process of their own
def test_a_checkpoint_is_measured_end_to_end(
    checkpoint: Path, tmp_path: Path, bundle_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = checkpoint_factory.config(vocab_size=2048, mask_token_id=100, eos_token_id=11)
    checkpoint_factory.write(checkpoint, tiny, adapter_rank=2)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (checkpoint / name).write_text((NANO / name).read_text())
    chats = write_held_out(checkpoint)
    for limit in ("MAX_TOKENS", "CODE_TOKENS"):
        monkeypatch.setattr(measure, limit, 24)
    bundle, out = bundle_of(checkpoint), tmp_path / "out"
    options = ["--checkpoint", checkpoint, "--bundle", bundle]
    options += [word for bits in ("int8", "int4") for word in (f"--{bits}-bundle", bundle_of(checkpoint, bits))]
    options += ["--sweep-per-domain", 1, "--human-eval", 0, "--out", out]
    assert run.main([str(option) for option in options]) == 1  # random weights are right in nothing
    found = json.loads((out / "quality.json").read_text())
    assert found["claims"][0]["holds"] and found["claims"][0]["measured"] == "24 of 24 answers"
    for one in found["runs"]:
        assert one["domains"]["addition"]["asked"] == (2 if one["prompts"] == "every" else 1)
        if one["mode"] == "self_speculation":
            sums = one["all"]
            assert sum(int(k) * v for k, v in sums["accepted"].items()) == sums["tokens"] - sums["asked"]
            assert sum(sums["accepted"].values()) == sums["cycles"]
    counted = [(one["mode"], one["precision"]) for one in found["runs"] if one["precision"] != "float32"]
    modes = ("autoregressive", "diffusion", "self_speculation")
    assert counted == [(mode, bits) for bits in ("int8", "int4") for mode in modes]
    assert "| int4 |" in (out / "README.md").read_text()
    assert found["forms"]["thinking"]["asked"] == 1
    by_hand = [nats for asked, told in chats for nats in nats_by_hand(bundle, asked, told)]
    entry = found["perplexity"]["domains"]["addition"]
    assert entry["tokens"] == len(by_hand)
    assert entry["bytes"] == sum(len(told) for _, told in chats)
    assert entry["nats"] == pytest.approx(sum(by_hand), abs=2e-3)
    assert (out / "README.md").is_file() and (out / "plots/accuracy.png").is_file()


@pytest.mark.subprocess  # chats are rendered in a process of their own
def test_a_checkpoint_with_a_tower_is_asked_about_pictures(
    checkpoint: Path, tmp_path: Path, bundle_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = vision_checkpoints.config(vocab_size=2049, mask_token_id=100, eos_token_id=11, vision_image_size=1540)
    checkpoint_factory.write(checkpoint, tiny, vision_checkpoints.tensors(tiny))
    with_images(load_tokenizer(NANO)).save(str(checkpoint / "tokenizer.json"))
    for name, source in (("chat_template.jinja", IMAGE_TEMPLATE), ("tokenizer_config.json", NANO)):
        (checkpoint / name).write_text((source / name if source.is_dir() else source).read_text())
    training = json.loads((checkpoint / "training.json").read_text())
    training["pictures"] = {"domains": ["number", "chart"], "digits": 1, "words": 180}
    (checkpoint / "training.json").write_text(json.dumps(training))
    write_held_out(checkpoint)
    for limit in ("MAX_TOKENS", "CODE_TOKENS", "PICTURE_TOKENS"):
        monkeypatch.setattr(measure, limit, 24)
    options = ["--checkpoint", checkpoint, "--bundle", bundle_of(checkpoint), "--out", tmp_path / "out"]
    options += ["--sweep-per-domain", 1, "--human-eval", 0, "--pictures", 2]
    assert run.main([str(option) for option in options]) == 1  # random weights are right in nothing
    found = json.loads((tmp_path / "out/quality.json").read_text())
    asked = found["pictures"]
    assert asked["asked"] == {
        "domains": ["number", "chart"],
        "digits": 1,
        "words": 180,
        "per_domain": 2,
        "max_tokens": 24,
    }
    assert asked["language_model"]["equal"] == 0 and asked["language_model"]["of"] == "nano"
    ways = [(one["mode"], one["speculation"], one["block_length"]) for one in asked["runs"] if not one["blank"]]
    drafted = [("self_speculation", "linear", 32), ("self_speculation", "quadratic", 8)]
    assert ways == [("autoregressive", "linear", None), ("diffusion", "linear", 32), *drafted, ("auto", "linear", None)]
    assert [one["blank"] for one in asked["runs"]] == [False] * 5 + [True] * 5
    for one in asked["runs"]:
        assert {name: counts["asked"] for name, counts in one["domains"].items()} == {"number": 2, "chart": 2}
    claims = {claim["claim"]: claim["measured"] for claim in found["claims"]}
    assert [measured for claim, measured in claims.items() if "quadratic" in claim] == ["16 of 16 answers"]
    assert "\n## Pictures\n" in (tmp_path / "out/README.md").read_text()


def nats_by_hand(bundle: Path, asked: list[dict[str, str]], told: str) -> list[float]:
    """The nats of each token of a reply, its end included: each from a pass of its own over all that precedes it."""
    tokenizer = Tokenizer.load(bundle)
    assert tokenizer is not None
    engine = OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=1)
    slot = engine.allocate(block=False)
    before = tokenizer.encode(tokenizer.render_chat(asked, enable_thinking=False))
    ids = [*before, *tokenizer.encode(told), Manifest.load(bundle).eos_token_id]
    found = []
    for place in range(len(before), len(ids)):
        row = Row(slot, np.array(ids[:place]), 0, "causal", np.array([place - 1]), keep=False)
        odds = np.exp(engine.run([row])[0].logits[0].astype(np.float64))
        found.append(-math.log(odds[ids[place]] / odds.sum()))
    return found
