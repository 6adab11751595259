"""The house: rooms, floors and arrows, the direction of imports, and how large files, classes and functions may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.layout import PACKAGES, ROOT, house_of, imports_of, layout, modules_of

TABLE = {
    # The figures are those of the first layout, 15, 9 and 48 for trimode, and since then for each line one or more:
    # server to text, see below; the room grammar, which needs api, errors and text, and which requests and runtime use;
    # config to bundle: the environment variable that names what was checked is none that is misspelt
    # triton to bundle: under a tritonserver alone, nobody else checks that the bundle is not damaged
    # text to api: both ends read a prompt by text/prompt.py, which takes the prompt's group of fields
    # triton to scheduling: callers take turns before grammars by the rule of slots, scheduling/turns.py
    # the room logs, which the server and all that works for a request name requests by
    # server to grammar: see below
    # the room vision, which turns files into pictures; it stands between engines and decoding: pictures are encoded by
    # a part of the engine, before a request is one of the scheduler's, and a sequence knows which rows stand for them
    # the room tracing: what notes the passes of a request, which all that bring it to them hand on
    # config to vision: which hosts may be asked is read by one rule, and a name that is none ends the start
    "trimode": (19, 10, 82),
    # 10, 7 and 19 at first; a recipe fetches a checkpoint, and asks whether there is one; a room shows progress
    "trimode_convert": (11, 7, 21),
    # 10, 6 and 26 at first; pictures are a room of their own below requests, whose type the knobs have, and the
    # command line stands above the local server, which stands above a client
    "trimode_client": (11, 8, 29),
    # each program is a room: four of them stand above data, model, training and evaluation, and prepare between these
    # prepare to model: a model that starts from another family's takes that one's tokenizer, which model/base.py reads
    "trimode_train": (10, 5, 27),
    # 8, 3 and 10 at first; a soak is a room of its own, which needs what measurements share; a fuzz is one too
    "trimode_perf": (10, 3, 12),
}
"""Most rooms, floors and arrows of each package. Raise a number in the commit that needs it, with the reason here."""

FOUNDATION = {"errors", "api", "bundle"}
MAY_IMPORT = {
    "errors": set[str](),
    "moved": set[str](),
    "logs": {"errors"},
    "tracing": {"errors"},
    "api": {"errors"},
    "bundle": {"errors"},
    "text": FOUNDATION,
    "grammar": {*FOUNDATION, "text"},
    "engines": FOUNDATION,
    "metrics": FOUNDATION,
    "vision": {*FOUNDATION, "engines"},
    "config": {*FOUNDATION, "logs", "tracing", "vision"},
    "decoding": {"errors", "api", "engines", "vision"},
    "auto": {"errors", "api", "engines", "decoding", "moved"},
    "scheduling": {*FOUNDATION, "logs", "tracing", "engines", "text", "decoding", "auto"},
    "requests": {
        *FOUNDATION,
        *("logs", "tracing", "engines", "text", "grammar", "vision", "decoding", "auto", "scheduling"),
    },
    "runtime": {
        *FOUNDATION,
        *("engines", "text", "grammar", "vision", "config", "decoding", "auto", "scheduling", "requests"),
    },
    "triton": {*FOUNDATION, "logs", "tracing", "config", "metrics", "scheduling", "requests", "runtime"},
    # text: server/openai/ answers /tokenize without a way through Triton, which routers ask for every request, shows
    # the tokens of log-probabilities, and counts a prompt's tokens, since an answer may take what the context leaves.
    # grammar: what weighs an expression, before the schemas of tools are tried.
    # vision: how many tokens a picture takes by its header, where an answer may take what the context leaves.
    "server": {*FOUNDATION, "logs", "tracing", "config", "metrics", "text", "grammar", "vision"},
}
"""What each room of the runtime may import; rooms that come later stand above those that they use."""
ENGINE_CONTRACT = {"trimode.engines.base", "trimode.engines.log_probs"}
"""All of engines that decoding, auto, scheduling and requests may know: the contract, and arithmetic on logits."""

MOST_MODULES = 16  # api: each group of fields with rules of its own has a file
MOST_LINES = 300  # of a file, which has one noun: more of them are two
MOST_LINES_OF_A_CLASS = 210  # Auto and SequenceState, whose parts would only be read together; others have fewer
MOST_LINES_OF_A_FUNCTION = 50  # one screen
MOST_PARAMETERS = 7  # more of them are a group of their own, with a name

FILES = [(name, path) for name, package in PACKAGES.items() for path in sorted(package.rglob("*.py"))]


@pytest.mark.parametrize("name", TABLE)
def test_a_package_has_no_more_rooms_floors_and_arrows_than_the_table_says(name: str) -> None:
    house = house_of(name)
    assert house.circle() == set()
    found = (len(house.arrows), max(house.floors().values()), house.count)
    assert all(have <= most for have, most in zip(found, TABLE[name], strict=True)), f"{found}: see `make layout`"


def test_every_package_is_in_the_table() -> None:
    assert set(TABLE) == set(PACKAGES)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room: str) -> None:
    arrows = house_of("trimode").arrows
    wrong = {other: found for other, found in arrows.get(room, {}).items() if other not in MAY_IMPORT[room]}
    assert wrong == {}


def test_every_room_has_its_place_in_the_direction() -> None:
    assert set(house_of("trimode").arrows) == set(MAY_IMPORT)


@pytest.mark.parametrize("room", ["decoding", "auto", "scheduling", "requests"])
def test_the_rooms_above_know_engines_by_their_contract(room: str) -> None:
    package = PACKAGES["trimode"]
    known = modules_of(package)
    used = {
        layout.module_of(name, known)
        for module, path in known.items()
        if layout.room_of(module) == room
        for name in imports_of(path, package)
    }
    assert {name for name in used if name and layout.room_of(name) == "engines"} <= ENGINE_CONTRACT


@pytest.mark.parametrize("name", PACKAGES)
def test_no_files_import_each_other_in_a_circle(name: str) -> None:
    package = PACKAGES[name]
    known = modules_of(package)
    left = {
        module: {layout.module_of(one, known) for one in imports_of(path, package)} - {None, module}
        for module, path in known.items()
        if path.name != "__init__.py"  # a package's face hands names on; the files behind it import each other
    }
    left = {module: used & left.keys() for module, used in left.items()}
    while ready := {module for module, used in left.items() if not used & left.keys()}:
        left = {module: used for module, used in left.items() if module not in ready}
    assert left == {}


@pytest.mark.parametrize("folder", sorted({path.parent for _, path in FILES}), ids=lambda path: path.name)
def test_a_folder_holds_few_modules(folder: Path) -> None:
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES


def is_kernel(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it is a GPU's kernel in the Triton language, which takes each address and stride by itself."""
    return any(ast.unparse(one) == "triton.jit" for one in node.decorator_list)


def too_long(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if (lines := len(text.splitlines())) > MOST_LINES:
        yield f"{lines} lines, at most {MOST_LINES}"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = (node.end_lineno or 0) - node.lineno + 1
        most = MOST_LINES_OF_A_CLASS if isinstance(node, ast.ClassDef) else MOST_LINES_OF_A_FUNCTION
        if lines > most:
            yield f"{node.name} has {lines} lines, at most {most}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_kernel(node):
            named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([one for one in named if one.arg not in ("self", "cls")])
            if count > MOST_PARAMETERS:
                yield f"{node.name} has {count} parameters, at most {MOST_PARAMETERS}"


@pytest.mark.parametrize("path", [path for _, path in FILES], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_classes_and_functions_are_short(path: Path) -> None:
    assert list(too_long(path)) == []


@pytest.mark.parametrize("room", sorted(FOUNDATION))
def test_the_foundation_needs_the_standard_library_alone(room: str) -> None:
    package = PACKAGES["trimode"]
    paths = [path for module, path in modules_of(package).items() if layout.room_of(module) == room]
    tops = {name.split(".")[0] for path in paths for name in imports_of(path, package)}
    assert tops - {"trimode"} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", ["trimode_convert", "trimode_client"])
def test_client_and_converter_import_nothing_else_of_the_runtime(name: str) -> None:
    package = PACKAGES[name]
    used = {one for path in package.rglob("*.py") for one in imports_of(path, package)}
    rooms = {layout.room_of(one) for one in used if one.split(".")[0] == "trimode"}
    assert rooms - {"", "__version__"} <= FOUNDATION


def test_importing_the_foundation_loads_nothing_that_must_be_installed() -> None:
    """Whatever files import, this is what a client pays."""
    parts = [name for name in modules_of(PACKAGES["trimode"]) if layout.room_of(name) in FOUNDATION]
    code = f"import sys\nfor name in {parts}: __import__(name)\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.check_output([sys.executable, "-I", "-c", code], text=True).split()
    assert not set(loaded) & {"numpy", "onnxruntime", "tokenizers", "jinja2", "yaml", "regex", "aiohttp", "grpc"}


def test_the_command_prints_every_package() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "layout.py")]
    printed = subprocess.check_output(command, text=True)
    for name in PACKAGES:
        house = house_of(name)
        assert f"{name}: {len(house.arrows)} rooms" in printed
        assert all(f" {room} " in printed for room in house.arrows)


def test_the_check_finds_a_circle_and_a_long_function(tmp_path: Path) -> None:
    package = tmp_path / "house"
    (package / "b").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "b" / "__init__.py").write_text("")
    (package / "a.py").write_text("from .b.c import x\n")
    (package / "b" / "c.py").write_text("from ..a import y\n")
    house = layout.House.of(package)
    assert (house.count, house.circle(), house.floors()) == (2, {"a", "b"}, {})
    body = "".join(f"    x = {number}\n" for number in range(60))
    (package / "a.py").write_text(f"def f(a, b, c, d, e, f, g, *, h):\n{body}")
    assert list(too_long(package / "a.py")) == [
        "f has 61 lines, at most 50",
        "f has 8 parameters, at most 7",
    ]
    (package / "a.py").write_text("@triton.jit\ndef f(a, b, c, d, e, f, g, h): ...\n")
    assert list(too_long(package / "a.py")) == []
    assert layout.House.of(package).floors() == {"a": 1, "b": 2}
