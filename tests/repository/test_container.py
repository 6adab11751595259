"""The container as far as it can be checked without Docker: it was never built here."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from trimode.server.launch.options import parser
from trimode_convert.graph.precisions import TENSORRT
from trimode_convert.recipe import RECIPES
from trimode_convert.tensorrt.compiler import INSTALL

from scripts.image.dockerfile import mounts_of, read

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ONLY_HERE = ("nvidia-pytriton", "tensorrt-rtx", "tensorrt_rtx")


DOCKERFILE = read(ROOT / "build" / "Dockerfile")
STEPS = [step for stage in DOCKERFILE.stages for step in stage.instructions]
ARGUMENTS = {**DOCKERFILE.arguments, **dict(rest.split("=", 1) for word, rest in STEPS if word == "ARG")}


def version_in_table(part: str) -> str:
    found = re.search(rf"^\| {part} \| ([^|,]+?)(?:,[^|]*)? \|", TABLE, re.MULTILINE)
    assert found, f"docs/compatibility.md has no row {part}"
    return found[1]


def of(word: str) -> list[str]:
    return [rest for instruction, rest in STEPS if instruction == word]


def copied() -> set[str]:
    """The files and folders that any stage takes from this repository."""
    names = [name for rest in of("COPY") for name in rest.split()[:-1]]
    return {path.relative_to(ROOT).as_posix() for name in names for path in sorted(ROOT.glob(name)) or [ROOT / name]}


def pinned(package: str) -> str:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    (found,) = [line for line in constraints if line.startswith(f"{package}==")]
    return str(found.partition("==")[2])


@pytest.fixture
def binding() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tensorrt_binding", ROOT / "build" / "tensorrt_binding.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_image_is_the_tables() -> None:
    assert {stage.image.partition("@")[0] for stage in DOCKERFILE.stages} == {version_in_table("image")}


def test_the_client_is_of_the_images_triton() -> None:
    assert version_in_table("Triton") == version_in_table("tritonclient") == pinned("tritonclient")
    assert version_in_table("ONNX Runtime") == pinned("onnxruntime")
    assert version_in_table("cuda-bindings") == pinned("cuda-bindings")


def test_the_tables_versions_are_within_the_ranges_of_the_project() -> None:
    ranges = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
    for part, package in {
        "tritonclient": "tritonclient",
        "ONNX Runtime": "onnxruntime",
        "cuda-bindings": "cuda-bindings",
    }.items():
        (given,) = {one for one in ranges if re.match(rf"{package}[\[><=]", one)}
        least, below = re.findall(r"[<>]=?([\d.]+)", given)
        version, lowest, limit = (tuple(map(int, text.split("."))) for text in (version_in_table(part), least, below))
        assert lowest <= version < limit, given


def test_the_images_python_is_one_of_ours() -> None:
    major, minor = map(int, version_in_table("Python in the image").split("."))
    least, below = (tuple(map(int, found)) for found in re.findall(r"[<>=]+(\d+)\.(\d+)", PROJECT["requires-python"]))
    assert least <= (major, minor) < below


def test_tensorrt_is_of_the_major_version_that_the_code_is_written_against() -> None:
    major = ARGUMENTS["TENSORRT_MAJOR"]
    assert version_in_table("TensorRT") == f"{major}.x"
    assert f"tensorrt ({major}.x)" in INSTALL


def test_the_tables_capabilities_are_the_converters() -> None:
    line = TABLE.partition("**Compute capability by precision**")[2].partition(".\n")[0]
    for name, precision in TENSORRT.precisions.items():
        assert name == "float32" or f"{name} {precision.compute_capability}" in line


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    ignore = [
        line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
    ]
    assert len(copied()) >= 7
    for source in copied():
        assert (ROOT / source).exists(), source
        ignored = False
        for rule in ignore:  # the last rule that matches the path or a folder above it decides
            places = [source, *(str(parent) for parent in Path(source).parents)]
            if any(fnmatch.fnmatch(place, rule.lstrip("!")) for place in places):
                ignored = not rule.startswith("!")
        assert not ignored, f"{source} is ignored"


def test_nothing_that_the_wheel_needs_is_left_out() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {Path(package).parts[0] for package in (*wheel["packages"], *wheel["force-include"])}
    assert needed | {PROJECT["readme"], "pyproject.toml"} <= copied()


def test_the_images_server_and_libraries_stay() -> None:
    text = "\n".join(of("RUN"))
    assert not [name for name in (*ONLY_HERE, "tensorrt-cu13-libs", "--group") if name in text]
    assert all("--no-deps" in rest for rest in of("RUN") if "tensorrt_" in rest)
    extras = PROJECT["optional-dependencies"]
    (chosen,) = {rest for word, rest in STEPS if word == "ARG" and rest.startswith("EXTRAS=")}  # both stages' default
    assert chosen == f"EXTRAS={ARGUMENTS['EXTRAS']}"
    wanted = [item for extra in ARGUMENTS["EXTRAS"].split(",") for item in extras[extra]]
    assert not [item for item in (*PROJECT["dependencies"], *wanted) if item.startswith(("tensorrt", *ONLY_HERE))]


def test_the_entry_point_is_a_command_line_of_serve_that_can_be_reached_and_added_to() -> None:
    (entry,) = of("ENTRYPOINT")
    command = json.loads(entry)
    start = command.index("python3")
    assert command[start : start + 3] == ["python3", "-m", "trimode.server"]
    options = parser().parse_args([*command[start + 3 :], "--gpus", "0,1", "--bundle", "/other"])
    assert (options.host, options.grpc_host, options.metrics_host) == ("0.0.0.0",) * 3
    assert (options.bundle, options.gpus) == ([Path("/other")], "0,1")  # another bundle, not one beside the image's
    assert "TRIMODE_BUNDLE=/bundle" in of("ENV")
    (workdir,) = DOCKERFILE.final.of("WORKDIR")
    assert str(options.model_repository) == f"{workdir}/model_repository"
    assert {options.http_port, options.grpc_port, options.metrics_port} == {
        int(port) for port in of("EXPOSE")[0].split()
    }
    assert of("CMD") == []  # what follows the image's name is added, not put in its place


def test_the_last_stage_asks_no_index() -> None:
    installs = [rest for rest in DOCKERFILE.final.of("RUN") if " install " in rest]
    assert len(installs) == 2
    for rest in installs:
        ((mount,), command) = mounts_of(rest)
        assert mount == ("build", "/wheels", "/wheels")
        assert "--no-index" in command
    assert all("--wheel-dir /wheels" in rest for rest in DOCKERFILE.stage("build").of("RUN"))


def test_every_recipe_is_where_the_converter_looks_for_it() -> None:
    (workdir,) = DOCKERFILE.final.of("WORKDIR")
    assert f"{RECIPES}/*.yaml {RECIPES}/" in DOCKERFILE.final.of("COPY")
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "build").glob("*.yaml")} <= copied()
    assert f"-v $PWD/checkpoints:{workdir}/checkpoints:ro" in TABLE
    assert "--entrypoint /opt/nvidia/nvidia_entrypoint.sh" in TABLE


def test_the_labels_are_those_of_the_specification_and_make_gives_their_values() -> None:
    (labels,) = of("LABEL")
    named = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', labels))
    assert named["licenses"].startswith(f"{PROJECT['license']} AND ")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for label in ("version", "revision", "source"):
        assert named[label] == f"${{{label.upper()}}}"
        assert f"--build-arg {label.upper()}=" in makefile


def test_the_health_check_asks_the_guard() -> None:
    (check,) = of("HEALTHCHECK")
    options, _, command = check.partition("CMD")
    program = json.loads(command)
    assert program[:2] == ["python3", "-c"]
    compile(program[2], "healthcheck", "exec")
    assert f"127.0.0.1:{parser().get_default('http_port')}/v2/health/ready" in program[2]
    periods = dict(option.removeprefix("--").split("=") for option in shlex.split(options))
    assert int(periods["start-period"].rstrip("s")) >= parser().get_default("ready_timeout")


def test_nobody_is_told_that_the_image_was_built() -> None:
    assert "**neither built nor run here**" in TABLE


@pytest.mark.parametrize(("number", "version"), [(110201, "11.2.1"), (110400, "11.4.0"), (101601, "10.16.1")])
def test_the_binding_is_of_the_libraries_version(binding: ModuleType, number: int, version: str) -> None:
    assert binding.requirement(number, number // 10000) == f"tensorrt-cu13-bindings=={version}.*"


def test_libraries_of_another_major_version_end_the_build(binding: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"TensorRT: expected 11.x, the image has 10\.16\.1"):
        binding.requirement(101601, 11)


def test_missing_libraries_end_the_build(binding: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert binding.main(["requirement", "99"]) == 1
    assert "libnvinfer.so.99" in capsys.readouterr().err
    assert binding.main(["other"]) == 2


def test_a_tensorrt_that_is_there_is_not_covered(binding: ModuleType, tmp_path: Path) -> None:
    binding.wrap(tmp_path)
    written = tmp_path / "tensorrt" / "__init__.py"
    assert written.read_text(encoding="utf-8") == binding.WRAPPER
    written.write_text("its own", encoding="utf-8")
    binding.wrap(tmp_path)
    assert written.read_text(encoding="utf-8") == "its own"
