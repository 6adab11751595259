"""make in folders and with folders of any name: what it passes on is what was given, word by word."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.layout import ROOT

ODD = ["/a b/c", "a'b/c", "/a$b/c", "prø/j", "a;b/c", "a&b/*", '"x"/y']
RECORD = """#!/bin/sh
exec python3 -c 'import json, sys; open("called", "a").write(json.dumps(sys.argv[1:]) + "\\n")' "$@"
"""


def project(folder: Path) -> Path:
    """The Makefile in `folder`, with an environment that is there already and whose Python writes down its calls."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).touch()
    (python := folder / ".venv" / "bin" / "python").write_text(RECORD)
    python.chmod(0o755)
    for stage in ("serve", "test", "perf"):
        (folder / ".venv" / stage).touch()
    return folder


def made(folder: Path, *words: str) -> list[list[str]]:
    """The calls of Python that `make words` makes in `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--silent", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / "called").read_text().splitlines()]


@pytest.mark.parametrize("name", ["plain", "my project", "prøject", "it's $here; ok"])
def test_make_works_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    build, serve = made(project(tmp_path / name), "serve", "PORT=9000")
    assert build == [
        "-m",
        "trimode_convert.recipe",
        "nano",
        "--precision",
        "float32",
        "--out",
        "build/out/nano-float32",
    ]
    assert serve[:4] == ["-m", "trimode.server", "--bundle", "build/out/nano-float32"]
    assert serve[-2:] == ["--metrics-port", "9002"]


@pytest.mark.parametrize("model", ODD)
def test_a_checkpoint_in_a_folder_of_any_name_is_passed_on_as_it_is(tmp_path: Path, model: str) -> None:
    build, editing = made(project(tmp_path), "editing", f"MODEL={model}")
    assert build[:3] == ["-m", "trimode_convert.recipe", model]
    assert editing[editing.index("--checkpoint") + 1] == model
    bundle = build[build.index("--out") + 1]
    assert bundle == editing[-1]
    assert set(bundle) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-/"), bundle


def test_folders_with_the_same_last_name_get_bundles_of_their_own(tmp_path: Path) -> None:
    calls = [
        made(project(tmp_path / str(number)), "build", f"MODEL={path}") for number, path in enumerate(["a/m", "b/m"])
    ]
    assert len({call[0][-1].rpartition("-")[0] for call in calls}) == 2


def test_the_quality_of_a_model_is_counted_in_its_own_folder(tmp_path: Path) -> None:
    *builds, quality = made(project(tmp_path), "quality", "MODEL=nano-vlm")
    assert [build[build.index("--precision") + 1] for build in builds] == ["float32", "int8", "int4"]
    assert quality[quality.index("--checkpoint") + 1] == "checkpoints/nano-vlm"
    for bits, option in (("float32", "--bundle"), ("int8", "--int8-bundle"), ("int4", "--int4-bundle")):
        assert quality[quality.index(option) + 1] == f"build/out/nano-vlm-{bits}"


def test_quality_is_counted_in_each_precision_whatever_is_asked(tmp_path: Path) -> None:
    folder = project(tmp_path)
    command = ["make", "--silent", "quality", "PRECISION=int4"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "make quality counts float32, int8 and int4 beside each other: PRECISION is not for it" in done.stderr
    assert not (folder / "called").exists()


def test_peers_are_set_against_bundles_of_their_width_and_a_large_model_ends_it(tmp_path: Path) -> None:
    *builds, peers, large = made(project(tmp_path), "peers", "MODEL=smol")
    assert [build[build.index("--precision") + 1] for build in builds] == ["float32", "int8", "int4"]
    assert peers[peers.index("--int4-bundle") + 1] == builds[2][builds[2].index("--out") + 1]
    assert large == ["-m", "trimode_perf", "peers-large", "--peers-python", ".venv/bin/python", "--out"]


@pytest.mark.parametrize(
    ("words", "builds"),
    [
        ((), ["float32", "int8"]),
        (("PART=layers",), ["float32"]),
        (("PART=peers",), ["float32", "int8", "int4"]),
        (("MODEL=smol",), ["float32", "int8", "int4"]),
    ],
)
def test_perf_builds_the_bundles_that_its_parts_need(tmp_path: Path, words: tuple[str, ...], builds: list[str]) -> None:
    folder = project(tmp_path)
    (config := folder / "checkpoints" / "nano" / "config.json").parent.mkdir(parents=True)
    config.write_text('{"model_type": "nemotron_labs_diffusion"}')
    (folder / ".venv-train").mkdir()
    for name in ("ready", "lock"):
        (folder / ".venv-train" / name).touch()
    *made_first, _ = made(folder, "perf", *words)
    assert [call[call.index("--precision") + 1] for call in made_first if "--precision" in call] == builds


def test_a_gpus_name_is_one_word(tmp_path: Path) -> None:
    (build,) = made(project(tmp_path), "build", "MODEL=8b", "GPU=RTX A b")
    assert build[-4:] == ["--out", "build/out/8b-RTX_A_b", "--gpu", "RTX A b"]


def slots(folder: Path, *words: str) -> list[str]:
    """What each call of Python that `make serve words` makes has for `max_slots` in its environment."""
    said = '#!/bin/sh\necho "slots=$TRIMODE_MAX_SLOTS" >> called\n'
    for python in folder.glob(".venv*/bin/python"):
        python.write_text(said)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "TRIM"))}
    command = ["env", *words, "make", "--silent", "serve"]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=60)
    found = (folder / "called").read_text().splitlines()
    (folder / "called").unlink()
    return found


def test_engines_for_gpus_take_as_many_slots_as_fit_unless_a_number_is_set(tmp_path: Path) -> None:
    folder = project(tmp_path)
    shutil.copytree(folder / ".venv", folder / ".venv-torch")
    (folder / ".venv-torch" / "ready").touch()
    assert slots(folder) == ["slots=", "slots="]
    assert slots(folder, "GPU=H200") == slots(folder, "ENGINE=torch") == ["slots=", "slots=auto"]
    assert slots(folder, "ENGINE=torch", "TRIMODE_MAX_SLOTS=5") == ["slots=5", "slots=5"]


def test_another_engine_has_an_environment_and_a_bundle_of_its_own(tmp_path: Path) -> None:
    folder = project(tmp_path)
    shutil.copytree(folder / ".venv", folder / ".venv-torch")
    (folder / ".venv-torch" / "ready").touch()
    (folder / ".venv" / "bin" / "python").unlink()
    build, serve = made(folder, "serve", "ENGINE=torch")
    bundle = "build/out/nano-torch-bfloat16"
    assert build[2:] == ["nano", "--precision", "bfloat16", "--out", bundle, "--engine", "torch"]
    assert serve[:4] == ["-m", "trimode.server", "--bundle", bundle]
    (build,) = made(folder, "build", "ENGINE=torch", "PRECISION=float32")[2:]
    assert build[4] == "float32"


@pytest.mark.parametrize(
    "target", ["demo", "editing", "fleet", "fleet-check", "fuzz", "peers", "perf", "pictures", "quality", "soak"]
)
def test_what_runs_without_pytorch_refuses_its_engine(tmp_path: Path, target: str) -> None:
    folder = project(tmp_path)
    command = ["make", "--silent", target, "ENGINE=torch"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"make {target} runs in .venv, which has no PyTorch: ENGINE=torch is for build and serve" in done.stderr
    assert not (folder / "called").exists()


def test_several_models_are_built_and_then_served_together(tmp_path: Path) -> None:
    first, second, serve = made(project(tmp_path), "serve", "MODELS=nano a/x", "PRECISION=int8")
    bundles = [build[build.index("--out") + 1] for build in (first, second)]
    assert [build[2:5] for build in (first, second)] == [[name, "--precision", "int8"] for name in ("nano", "a/x")]
    assert serve[:6] == ["-m", "trimode.server", "--bundle", bundles[0], "--bundle", bundles[1]]
    assert serve[-2:] == ["--metrics-port", "8002"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("build", "MODELS=nano smol"), "MODELS is for make serve alone; make build takes MODEL"),
        (("serve", "MODELS=nano smol", "MODEL=nano"), "MODEL and MODELS must not be given together"),
    ],
)
def test_several_models_where_one_is_meant_are_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    folder = project(tmp_path)
    done = subprocess.run(["make", "--silent", *words], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (folder / "called").exists()


def test_capacity_and_rehash_are_passed_on(tmp_path: Path) -> None:
    (build,) = made(project(tmp_path), "build", "CAPACITY=512", "REHASH=1")
    assert build[-3:] == ["--capacity", "512", "--rehash"]


@pytest.mark.parametrize(("given", "noted"), [("3.12 of /other", True), ("3.11 of /same", False)])
def test_a_python_that_is_not_used_is_named(tmp_path: Path, given: str, noted: bool) -> None:
    folder = project(tmp_path)
    for name, said in ((".venv/bin/python", "3.11 of /same"), ("asked", given)):
        (python := folder / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        python.chmod(0o755)
    command = ["make", "--silent", "build", "PYTHON=./asked"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    note = "note: PYTHON=./asked is not used: .venv has Python 3.11 of /same; make clean removes it\n"
    assert done.stderr == (note if noted else "")


def checked(folder: Path, installed: int, fetched: int = 0) -> subprocess.CompletedProcess[str]:
    """`make check-deploy` where Python ends with `installed` while it makes the environment."""
    (python := folder / "asked").write_text(f"#!/bin/sh\nexit {installed}\n")
    python.chmod(0o755)
    (folder / ".venv" / "bin" / "python").write_text(f"{RECORD.splitlines()[0]}\nexit {fetched}\n")
    (folder / "tests" / "deploy").mkdir(parents=True)
    (folder / "tests" / "deploy" / "constraints-deploy.txt").touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "check-deploy", "PYTHON=./asked"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_a_check_without_an_index_says_what_it_leaves_out(tmp_path: Path) -> None:
    done = checked(project(tmp_path), installed=1, fetched=1)
    assert done.returncode == 0
    assert "make check leaves test-deploy out: what it needs could not be fetched within 240 s" in done.stderr


def test_a_check_whose_environment_cannot_be_made_fails(tmp_path: Path) -> None:
    done = checked(project(tmp_path), installed=1)
    assert done.returncode != 0
    assert "leaves test-deploy out" not in done.stderr


def test_a_check_with_the_environment_runs_the_tests_of_deploy(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / ".venv-deploy" / "bin").mkdir(parents=True)
    (python := folder / ".venv-deploy" / "bin" / "python").write_text(RECORD)
    python.chmod(0o755)
    (folder / "tests" / "deploy").mkdir(parents=True)
    (folder / "tests" / "deploy" / "constraints-deploy.txt").touch()
    (folder / ".venv-deploy" / "ready").touch()
    (call,) = made(folder, "check-deploy")
    assert call == ["-m", "pytest", "-p", "no:cloudcoil", "tests/deploy"]
