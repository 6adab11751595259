"""Whether byte products are exact: what Linux says of the processor, and what ONNX Runtime then computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trimode.engines.base import Row
from trimode.engines.onnx import processor, session
from trimode.engines.onnx.engine import OnnxRuntimeEngine

from tests.support.layout import ROOT


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512_vnni\n", True),
        ("flags : avx2 avx_vnni\n", True),
        ("flags : avx2 avx512f\n", False),
        ("model name : avx512_vnni\n", False),
        ("", False),
        (None, False),
    ],
)
def test_vnni_makes_byte_products_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, exact: bool
) -> None:
    monkeypatch.setattr(processor, "CPUINFO", path := tmp_path / "cpuinfo")
    if text is not None:
        path.write_text(text)
    assert processor.byte_products_are_exact() is exact


@pytest.mark.skipif(not processor.byte_products_are_exact(), reason="without VNNI both sessions would be the same")
def test_int8_has_the_same_numbers_with_vnni_as_with_the_slow_products(
    bundle_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row(0, np.arange(5, 21), 0, "causal", np.arange(16), keep=False)
    found = []
    for exact in (True, False):
        monkeypatch.setattr(session, "byte_products_are_exact", lambda exact=exact: exact)
        bundle = bundle_of(ROOT / "checkpoints" / "nano", "int8")
        opened = OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=1)
        found.append(opened.run([row._replace(slot=opened.allocate(block=False))])[0].logits.copy())
    np.testing.assert_array_equal(found[0], found[1])
