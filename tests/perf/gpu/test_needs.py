"""What a part of gpu-check says where a package is missing."""

from __future__ import annotations

import json
import sys

import pytest
from trimode_perf.gpu.needs import Unavailable, imported


def test_the_first_module_is_given_when_all_are_there() -> None:
    assert imported("json", "sys") is json


def test_one_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(Unavailable, match="onnx cannot be imported"):
        imported("json", "onnx")
