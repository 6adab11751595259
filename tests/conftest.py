"""What every folder of tests shares: the parity kit, bundles built from checkpoints, and who starts a process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import hypothesis
import pytest

from tests.support.processes import starts_process, without_processes

# no example has a deadline: on a busy machine a fast one may take a second
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

SERVED = tuple(Path(__file__).parent / name for name in ("server", "clients", "browser", "deploy"))

ENVIRONMENT = pytest.StashKey[dict[str, str]]()
DEFAULT_KIT = Path(__file__).parent / "fixtures" / "parity"
DEFAULT_VLM_KIT = Path(__file__).parent / "fixtures" / "parity-vlm"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--vlm-kit", type=Path, default=DEFAULT_VLM_KIT, help="folder of a kit of pictures (its README)")
    parser.addoption("--parity-kit", type=Path, default=DEFAULT_KIT, help="folder of a parity kit (see its README)")


def pytest_configure() -> None:
    """Take Ctrl-C even where the run was started in the background, whose processes ignore it and hand that on."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start a process: all that ask a real server, and those whose code names what starts one."""
    for item in items:
        if any(map(item.path.is_relative_to, SERVED)) or (isinstance(item, pytest.Function) and starts_process(item)):
            item.add_marker(pytest.mark.subprocess)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Hold those that are not marked to it: they start no process."""
    if item.get_closest_marker("subprocess"):
        yield
    else:
        with without_processes(item.nodeid):
            yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    item.stash[ENVIRONMENT] = environment()
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Hold every test to leave our variables as they were: servers of the tests after it would start with others."""
    yield
    left = dict(environment().items() ^ item.stash.get(ENVIRONMENT, environment()).items())
    assert not left, f"it leaves another environment: {', '.join(left)}"


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("TRIMODE_")}


def kit_folder(config: pytest.Config) -> Path:
    return Path(config.getoption("--parity-kit"))


def vlm_kit_folder(config: pytest.Config) -> Path:
    return Path(config.getoption("--vlm-kit"))


@pytest.fixture(scope="session")
def vlm_kit(request: pytest.FixtureRequest) -> Path:
    return vlm_kit_folder(request.config)


@pytest.fixture(scope="session")
def parity_kit(request: pytest.FixtureRequest) -> Path:
    return kit_folder(request.config)


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build a checkpoint's bundle as the converter's command line does, once per session and precision."""
    from trimode_convert.cli import main

    built: dict[tuple[Path, str], Path] = {}
    root = tmp_path_factory.mktemp("bundles")

    def build(checkpoint: Path, precision: str = "float32") -> Path:
        key = (checkpoint.resolve(), precision)
        if key not in built:
            out = root / f"{len(built)}-{checkpoint.name}-{precision}"
            assert main([str(checkpoint), "--out", str(out), "--precision", precision]) == 0
            built[key] = out
        return built[key]

    return build
