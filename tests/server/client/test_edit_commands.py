"""`trimode infill` and `trimode revise` as their own process against the real server."""

from __future__ import annotations

from pathlib import Path

from tests.server.edits import TEXT
from tests.server.sdk import run
from tests.server.server import Server


def test_the_command_puts_the_fill_between_two_files(server: Server, tmp_path: Path) -> None:
    left, right = tmp_path / "left.py", tmp_path / "right.py"
    left.write_text("def f(x):\n    return ")
    right.write_text("\n\nprint(f(1))\n")
    arguments = (str(left), str(right), "--infill-tokens", "4")
    fill = run(server, "infill", *arguments).stdout.removesuffix("\n")
    whole = run(server, "infill", *arguments, "--whole").stdout
    assert whole == left.read_text() + fill + right.read_text()


def test_the_command_shows_the_sizes_it_tried(server: Server) -> None:
    shown = run(server, "infill", "-", "--hole", "[[fill]]", "--candidates", text="one, two, [[fill]], four")
    assert shown.stdout.splitlines()[0].split() == ["gap", "tokens", "score", "mode", "text"]
    assert " * " in shown.stdout


def test_the_command_revises_a_file_in_place_as_its_diff_says(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT.encode())
    asked = ("revise", str(path), "--accept", "always", "--revise-threshold", "-1")
    revised = run(server, *asked).stdout
    changed = [line[1:] for line in run(server, *asked, "--show", "diff").stdout.splitlines() if line[0] == "+"][1:]
    assert run(server, *asked, "--in-place").stdout == ""
    assert path.read_bytes().decode().replace("\r\n", "\n") == revised
    assert changed == revised.splitlines()
