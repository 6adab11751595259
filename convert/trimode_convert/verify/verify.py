"""Checks a bundle: compares its logits with the plain numpy model's, or with stored ones of the official model.

Knows the tolerances and the reasons for them. Does not know the graph, or how a bundle is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from trimode.bundle.manifest import Manifest
from trimode.errors import CheckpointError

from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.config import ModelConfig
from ..checkpoint.tensor_file import FloatArray
from .numpy_model import forward
from .passes import BundleRunner, Pass, Pictures, kit_passes

FLOAT32_TOLERANCE = 2e-4  # share of the largest logit; reordered float32 sums of the tiny models differ by about 1e-6
# int8 measured a relative RMS of 0.006 to 0.03 on the trained tiny checkpoints, and of 0.06 (6 layers) and 0.13 (12) on
# random weights, whose flat logits exaggerate it. Doubling the scale of any one matrix gives 0.27 or more in some pass.
INT8_RMS = 0.20  # largest relative RMS
INT8_AGREEMENT = 0.60  # smallest share of rows with the same best token
# Largest relative RMS by precision: at least 4 times what the trained tiny checkpoint measured over all kinds of pass,
# which was 0.0003, 0.009, 0.06, 0.17 and 0.13.
RMS = {"float16": 0.01, "bfloat16": 0.05, "fp8": 0.25, "int4": 0.7, "nvfp4": 0.6}
AGREED = 4  # rows of a pass from which on the share of those with the same best token is judged
AGREEMENT = {"int4": 0.3, "nvfp4": 0.3}  # smallest share of rows with the same best token
CHUNK = 7  # tokens of the chunk that is checked: few, so that the check is quick
BLOCKS = 8, 32  # tokens of the blocks that are checked; the longer one is as a request's longest
SEEN = 8  # tokens that a pass behind a gap sees; what else is kept lies in the gap


@dataclass(frozen=True)
class Outcome:
    """One comparison: largest difference over largest value, relative RMS, share of rows with the same best token."""

    name: str
    worst: float
    rms: float
    agreement: float
    passed: bool

    @property
    def text(self) -> str:
        """The figures as text, for a table."""
        verdict = "ok" if self.passed else "FAILED"
        return f"{verdict}: max {self.worst:.1e}, rms {self.rms:.1e}, same best token {self.agreement:.1%}"

    def __str__(self) -> str:
        return f"{self.name} {self.text}"


def compare(name: str, ours: FloatArray, expected: FloatArray, precision: str) -> Outcome:
    """Judge logits by the tolerances of a precision  # both (rows, vocab)."""
    if ours.shape != expected.shape:
        raise CheckpointError(f"{name}: expected logits of shape {list(expected.shape)}, found {list(ours.shape)}")
    wide = expected.astype(np.float64)
    worst = float(np.abs(ours - wide).max() / np.abs(wide).max())
    rms = float(np.sqrt(((ours - wide) ** 2).mean() / (wide**2).mean()))
    agreement = float((ours.argmax(-1) == expected.argmax(-1)).mean())
    exact = precision == "float32"
    agreed = agreement >= AGREEMENT.get(precision, INT8_AGREEMENT) or len(expected) < AGREED
    rough = rms <= RMS.get(precision, INT8_RMS) and agreed
    passed = worst <= FLOAT32_TOLERANCE if exact else rough
    return Outcome(name, worst, rms, agreement, passed)


def against_reference(bundle: Path, checkpoint: Checkpoint) -> list[Outcome]:
    """Compare every kind of pass with the plain numpy model."""
    runner = BundleRunner(bundle)
    passes = sample_passes(checkpoint.config, runner.manifest.capacity, adapter=checkpoint.adapter is not None)
    pairs = zip(passes, runner.run(passes), forward(checkpoint, passes), strict=True)
    return [compare(step.name, ours, expected, runner.manifest.precision) for step, ours, expected in pairs]


def against_kit(bundle: Path, path: Path) -> list[Outcome]:
    """Compare with the official model's logits, as the parity kit stores them; of a long prompt's it has the last rows.

    The rows of a kit's pictures are in the file of the same name in the folder `vision` beside that of `path`.

    Raises:
        CheckpointError: the file is no .npz of the kit, or belongs to a model with another vocabulary.
    """
    try:
        arrays = dict(np.load(path))
        groups = _kit_groups(bundle, path, arrays)
        expected = {step.name: arrays[step.name] for group in groups for step in group if step.name}
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as exc:
        raise CheckpointError(f"{path}: cannot be read as stored logits: {exc}") from exc
    if not groups:
        raise CheckpointError(f"{path}: expected arrays prompt0_ids …, found {sorted(arrays)[:3]}")
    runner = BundleRunner(bundle)
    for name, logits in expected.items():
        if logits.shape[-1] != runner.manifest.vocab_size:
            raise CheckpointError(
                f"{path}: {name}: expected {runner.manifest.vocab_size} logits a row, found {logits.shape[-1]}"
            )
    return [
        compare(step.name, ours[-len(expected[step.name]) :], expected[step.name], runner.manifest.precision)
        for group in groups
        for step, ours in zip(group, runner.run(group), strict=True)
        if step.name
    ]


def _kit_groups(bundle: Path, path: Path, arrays: dict[str, FloatArray]) -> list[tuple[Pass, ...]]:
    """Return the kit's passes with what stands for pictures in them, for a bundle that reads any."""
    facts = Manifest.load(bundle).vision
    if facts is None or "prompt0_images" not in arrays:
        return kit_passes(arrays)
    pictures = np.load(path.parents[1] / "vision" / path.name)
    return kit_passes(arrays, lambda name: pictures[f"{name}/features"], facts.pad)


def sample_passes(config: ModelConfig, capacity: int, *, adapter: bool) -> list[Pass]:
    """Return passes of each kind over random tokens: a prefill, a chunk over it, blocks, a verification, and gaps.

    Engines write what is not kept behind all that is, so a pass that sees less has a gap in its mask, between what it
    sees and itself: there NVIDIA's kernels were wrong before, for a single token above all.

    Where that is cheap, the prefill is so long that positions reach the third step of the query scale: a wrong scale
    then shows. A tiny capacity makes the passes shorter or leaves some out.
    """
    scaled = config.rope.query_scale_beta > 0 and config.rope.original_length <= 256
    chunk, (short, long) = min(CHUNK, capacity // 4), (min(size, capacity // 2) for size in BLOCKS)
    prefill = min(2 * config.rope.original_length + 5 if scaled else 40, capacity - chunk - long)
    after = prefill + chunk
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, after + long)
    draft = tokens[after:].copy()
    draft[1::2] = config.mask_token_id
    seen = min(SEEN, prefill)
    passes = [
        Pass("causal prefill", tokens[:prefill], 0, causal=True, keep=True),
        Pass("cached chunk", tokens[prefill:after], prefill, causal=True, keep=True),
        Pass("block", draft, after, causal=False),
        Pass("short block", draft[:short], after, causal=False),
        Pass("verification", tokens[after:], after, causal=True),
        Pass("token behind a gap", tokens[seen : seen + 1], seen, causal=True),
        Pass("block behind a gap", draft[:short], seen, causal=False),
    ]
    if config.vision is not None:
        places = np.arange(1, prefill, 2)
        rows = np.random.default_rng(1).standard_normal((len(places), config.hidden_size), np.float32)
        passes[0] = replace(passes[0], pictures=Pictures(places, rows))
    if adapter:
        passes.append(Pass("block with adapter", draft, after, causal=False, adapter=True))
    return [step for step in passes if len(step.tokens)]
