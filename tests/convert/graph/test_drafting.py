"""An adapter with its masks' embedding on a causal model: drafts by the reference, and everything else untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trimode_convert.bundle.onnx_bundle import BundleOptions, make_draft, write_bundle
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.verify.passes import BundleRunner, Pass
from trimode_convert.verify.verify import against_reference

from tests.support import checkpoints as official
from tests.support import llama_checkpoints as factory


def bundle_of(folder: Path, *, adapted: bool, precision: str = "float32") -> Path:
    checkpoint = factory.write_llama(folder / "checkpoint")
    if adapted:
        official.write_adapter(checkpoint / "linear_spec_lora", factory.settings(), 4, mask=factory.SPARE)
    with Checkpoint.open(checkpoint) as opened:
        write_bundle(make_draft(opened, BundleOptions(precision)), folder / "bundle")
        assert all(outcome.passed for outcome in against_reference(folder / "bundle", opened))
    return folder / "bundle"


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_without_the_adapter_every_pass_is_the_base_models_to_the_bit(tmp_path: Path, precision: str) -> None:
    tokens = np.array([5, 9, factory.SPARE, 30, factory.SPARE, 8])
    passes = [Pass("causal", tokens, 0, causal=True, keep=True), Pass("block", tokens, 6, causal=False)]
    plain, adapted = (
        BundleRunner(bundle_of(tmp_path / str(adapted), adapted=adapted, precision=precision)).run(passes)
        for adapted in (False, True)
    )
    for one, other in zip(plain, adapted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_with_the_adapter_a_mask_has_an_embedding_of_its_own(tmp_path: Path) -> None:
    runner = BundleRunner(bundle_of(tmp_path, adapted=True))
    masks, others = np.array([5, factory.SPARE]), np.array([5, 30])
    (off,), (on,) = (runner.run([Pass("block", masks, 0, causal=False, adapter=adapter)]) for adapter in (False, True))
    assert np.abs(on - off).max() > 1e-3
    (plain,) = runner.run([Pass("block", others, 0, causal=False, adapter=True)])
    assert np.abs(on[1] - plain[1]).max() > 1e-3
