"""The guide's pictures are read as it says, and the example prints its row, by a real server of nano-vlm."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trimode_perf.common import NANO_VLM
from trimode_train.data.pictures import Drawn

from scripts import picture_guide
from tests.server.server import Server

ROOT = picture_guide.ROOT
EXAMPLE = ROOT / "examples" / "read_picture.py"
ROW = re.compile(r"^\| \[read_picture\.py\]\(\S+\) \|.*\| `(.+)` \| `(.+)` \|$", re.MULTILINE)
SECONDS = 120  # for one command; each takes a few


@pytest.fixture(scope="module")
def sighted(bundle_of: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(bundle_of(NANO_VLM), tmp_path_factory.mktemp("sighted") / "log") as made:
        yield made


@pytest.fixture(scope="module")
def pictures() -> list[Drawn]:
    return picture_guide.drawn(picture_guide.scope_of(NANO_VLM))


def test_the_guide_shows_the_pictures_that_the_command_draws(pictures: list[Drawn]) -> None:
    files = {path.name for path in picture_guide.IMAGES.glob("picture-*.png")}
    assert files == {picture_guide.path_of(one).name for one in pictures}
    for one in pictures:
        path = picture_guide.path_of(one)
        assert path.stat().st_size < picture_guide.MOST_BYTES
        assert np.array_equal(np.asarray(Image.open(path)), one.pixels)


def test_the_guide_has_the_answers_of_the_server(sighted: Server, pictures: list[Drawn]) -> None:
    answers = [picture_guide.ask(f"127.0.0.1:{sighted.grpc_port}", one) for one in pictures]
    assert picture_guide.section(pictures, answers) in picture_guide.PAGE.read_text(encoding="utf-8")


def test_the_readmes_command_prints_the_readmes_output(sighted: Server) -> None:
    ((command, output),) = ROW.findall(picture_guide.README.read_text(encoding="utf-8"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "TRIMODE_URL": f"127.0.0.1:{sighted.grpc_port}"}
    shown = subprocess.check_output(["bash", "-c", command], cwd=ROOT, env=environ, text=True, timeout=SECONDS)
    assert shown.splitlines()[0] == output
    assert [line.split()[0] for line in shown.splitlines()] == [
        "autoregressive", "diffusion", "self_speculation", "auto",
    ]  # fmt: skip


def test_a_model_without_a_tower_refuses_the_picture_in_one_line(server: Server, pictures: list[Drawn]) -> None:
    command = [sys.executable, str(EXAMPLE), str(picture_guide.path_of(pictures[0])), "What is it?"]
    url = ["--url", f"127.0.0.1:{server.grpc_port}"]
    shown = subprocess.run([*command, *url], capture_output=True, text=True, timeout=SECONDS)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert re.fullmatch(r"read_picture\.py: .+\n", shown.stderr)
