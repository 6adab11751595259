"""Which files are reveal rules of one's own, and which names they may have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from trimode.api.checks import check_field
from trimode.api.reveals import RULE_FILES, SHIPPED_REVEALS, check_rule_files, joined, rule_files
from trimode.errors import ConfigError, RequestError


def a_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def refusal(*paths: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        check_rule_files(paths, SHIPPED_REVEALS)
    assert str(caught.value).startswith(f"reveal rule {paths[-1]}: ")
    return str(caught.value)


def test_without_the_variable_there_are_no_files() -> None:
    assert rule_files({}) == rule_files({RULE_FILES: ""}) == ()


def test_paths_are_in_their_order_and_each_once() -> None:
    value = os.pathsep.join(["b/x.py", "a/y.py", "", "b/x.py"])
    assert rule_files({RULE_FILES: value}) == (Path("b/x.py"), Path("a/y.py"))


def test_joined_paths_are_absolute_and_read_back() -> None:
    assert rule_files({RULE_FILES: joined([Path("x.py"), Path("/a/y.py")])}) == (Path.cwd() / "x.py", Path("/a/y.py"))


def test_files_named_like_modules_are_fine(tmp_path: Path) -> None:
    check_rule_files([a_file(tmp_path / "mine.py"), a_file(tmp_path / "yours.py")], SHIPPED_REVEALS)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "mine.py").endswith("there is no such file")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith("there is no such file")


@pytest.mark.parametrize("name", ["my-rule.py", "1st.py", "mine.txt", "mine", ".py"])
def test_a_name_that_no_module_can_have_is_refused(tmp_path: Path, name: str) -> None:
    assert refusal(a_file(tmp_path / name)).endswith("the file must be named as a Python module is, such as mine.py")


@pytest.mark.parametrize("name", [*SHIPPED_REVEALS, "base"])
def test_the_name_of_a_shipped_file_is_refused(tmp_path: Path, name: str) -> None:
    assert f"the name {name} is taken" in refusal(a_file(tmp_path / f"{name}.py"))


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    first = a_file(tmp_path / "a" / "mine.py")
    assert refusal(first, a_file(tmp_path / "b" / "mine.py")).endswith(f"the name mine is taken by {first}")


def test_a_path_that_the_variable_cannot_hold_is_refused(tmp_path: Path) -> None:
    assert "must not hold" in refusal(a_file(tmp_path / f"a{os.pathsep}b" / "mine.py"))


def test_the_name_is_a_choice_where_the_variable_is_set(tmp_path: Path) -> None:
    code = "from trimode.api.checks import check_field; print(check_field('reveal', 'mine'))"
    environment = {**os.environ, RULE_FILES: str(tmp_path / "mine.py")}
    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=environment) == "mine\n"


def test_a_name_that_only_the_server_may_know_passes_where_the_server_decides() -> None:
    assert check_field("reveal", "mine", server_decides=True) == "mine"
    with pytest.raises(RequestError, match="reveal must be one of threshold, "):
        check_field("reveal", "mine")


def test_what_no_server_takes_is_refused_even_where_the_server_decides() -> None:
    for name, value in (("mode", "mine"), ("accept", "mine"), ("reveal", 5)):
        with pytest.raises(RequestError):
            check_field(name, value, server_decides=True)
