"""Where the private folder is made, and what gets a link with a plain name in it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from trimode.errors import ServeError
from trimode.server.launch import private_folder as module
from trimode.server.launch.private_folder import plain_path, plain_python, private_folder


def ignore(folder: Path) -> None:
    """Whoever would delete it if this process died."""


ODD = ("my project", "prøject", "a:b", "a'b", "$HOME", "a;b", "*")


@pytest.mark.parametrize("name", ODD)
def test_a_path_that_triton_cannot_take_gets_a_link(tmp_path: Path, name: str) -> None:
    (odd := tmp_path / name).mkdir()
    (scratch := tmp_path / "scratch").mkdir()
    link = plain_path(odd, scratch, "bundle")
    assert link == scratch / "bundle"
    assert link.resolve() == odd


def test_a_plain_path_stays_as_it_is(tmp_path: Path) -> None:
    assert plain_path(Path("/a/b-c_d.e+f/1"), tmp_path, "bundle") == Path("/a/b-c_d.e+f/1")
    assert list(tmp_path.iterdir()) == []


def test_the_private_folder_is_for_its_user_alone_and_does_not_stay() -> None:
    announced: list[tuple[Path, bool]] = []
    with private_folder(lambda folder: announced.append((folder, folder.exists()))) as folder:
        assert announced == [(folder, False)]  # before it is made
        assert folder.parent == Path(tempfile.gettempdir())
        assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert not folder.exists()


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where private folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(base: Path, name: str = "trimode-left") -> Path:
    """The folder of a server that was killed."""
    (folder := base / name).mkdir()
    (folder / "backends").mkdir()
    (folder / "owner").touch()
    return folder


def test_folders_of_servers_that_were_killed_go_with_the_next_start(base: Path) -> None:
    folders = [left(base, f"trimode-{number}") for number in range(3)]
    with private_folder(ignore) as folder:
        assert list(base.iterdir()) == [folder]
    assert not any(folder.exists() for folder in folders)


def test_the_folder_of_a_server_that_lives_stays(base: Path) -> None:
    with private_folder(ignore) as first:
        with private_folder(ignore) as second:
            assert first.exists() and second.exists()
        assert first.exists()


def test_what_may_be_somebody_elses_stays(base: Path) -> None:
    unowned, other = left(base, "trimode-unowned"), left(base, "another-1")
    (unowned / "owner").unlink()
    (target := base / "target").mkdir()
    (target / "owner").touch()
    (link := base / "trimode-link").symlink_to(target)
    with private_folder(ignore):
        pass
    assert all(path.exists() for path in (unowned, other, target, link))


def test_the_folder_of_another_user_stays(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = left(base)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with private_folder(ignore):
        assert folder.exists()


def test_a_folder_that_a_process_still_runs_on_stays(base: Path) -> None:
    folder = left(base)
    with subprocess.Popen(["sh", "-c", 'read _; exit "$1"', "sh", "0", f"unix:{folder}/http"], stdin=-1) as running:
        with private_folder(ignore):
            assert folder.exists()
        assert running.stdin is not None
        running.stdin.close()
        running.wait(20)
    with private_folder(ignore):
        assert not folder.exists()


@pytest.mark.parametrize("name", [*ODD, "x" * 100])
def test_another_place_is_taken_where_the_one_for_temporary_files_has_no_plain_short_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (odd := tmp_path / name).mkdir()
    (other := tmp_path / "other").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    monkeypatch.setattr(module, "OTHER_BASES", (str(other),))
    monkeypatch.setattr(module, "BASE_BYTES", len(str(other)))
    with private_folder(ignore) as folder:
        assert folder.parent == other


def test_no_place_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (odd := tmp_path / "my temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    monkeypatch.setattr(module, "OTHER_BASES", (str(tmp_path / "nowhere"),))
    with (
        pytest.raises(ServeError, match=r"/my temp has a name that Triton cannot take.*set TMPDIR"),
        private_folder(ignore),
    ):
        pass


def test_a_plain_python_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_plain", lambda path: True)  # this checkout may lie anywhere
    prefix, packages = plain_python(tmp_path, Path("/a/trimode"))
    assert prefix == Path(sys.prefix)
    assert packages.is_relative_to(prefix)
    assert list(tmp_path.iterdir()) == []


def test_a_python_under_a_plain_path_has_the_same_packages(tmp_path: Path) -> None:
    (package := tmp_path / "prøject" / "trimode").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (scratch := tmp_path / "scratch").mkdir()
    prefix, packages = plain_python(scratch, package)
    assert (prefix, packages.is_relative_to(prefix)) == (scratch / "python", True)
    code = "import numpy, sys, trimode; print(sys.prefix, trimode.__file__, numpy.__file__)"
    command = [str(prefix / "bin" / "python3"), "-I", "-c", code]
    done = subprocess.run(command, env={"LC_ALL": "C"}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        str(prefix),
        str(packages / "trimode" / "__init__.py"),
        str(packages / "numpy" / "__init__.py"),
    ]


def test_a_base_python_that_triton_cannot_take_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "base_prefix", "/my python")
    with pytest.raises(ServeError, match="Python is installed in /my python, a path that Triton cannot take"):
        plain_python(tmp_path, tmp_path / "prøject")
