"""Fixtures every folder of tests shares: the parity kit and bundles built from checkpoints."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

DEFAULT_KIT = Path(__file__).parent / "fixtures" / "parity"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--parity-kit", type=Path, default=DEFAULT_KIT, help="folder of a parity kit (see its README)")


def kit_folder(config: pytest.Config) -> Path:
    return Path(config.getoption("--parity-kit"))


@pytest.fixture(scope="session")
def parity_kit(request: pytest.FixtureRequest) -> Path:
    return kit_folder(request.config)


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build a checkpoint's bundle through the converter's command line, once per session and precision."""
    built: dict[tuple[Path, str], Path] = {}
    root = tmp_path_factory.mktemp("bundles")

    def build(checkpoint: Path, precision: str = "float32") -> Path:
        key = (checkpoint.resolve(), precision)
        if key not in built:
            out = root / f"{len(built)}-{checkpoint.name}-{precision}"
            command = [sys.executable, "-m", "trimode_convert", str(checkpoint), "--out", str(out)]
            subprocess.run([*command, "--precision", precision], check=True, timeout=300)
            built[key] = out
        return built[key]

    return build
