"""Digests of a bundle: damage is named by file and place, and files that did not change are not read again."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path

import pytest
from trimode.bundle import digests
from trimode.bundle.manifest import DIGESTS, MANIFEST, WEIGHTS, Manifest
from trimode.errors import BundleError

from tests.support.toy import manifest

BLOCK = 2**10
SIZE = 5 * BLOCK + 100


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose files were last changed long ago."""
    monkeypatch.setattr(digests, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(digests, "SETTLED_SECONDS", 0.0)
    (tmp_path / WEIGHTS).write_bytes(os.urandom(SIZE))
    (tmp_path / "tokenizer.json").write_bytes(b"")
    dataclasses.replace(manifest(), files={WEIGHTS: SIZE, "tokenizer.json": 0}).save(tmp_path)
    digests.write(tmp_path)
    return tmp_path


def check(bundle: Path, **options: bool) -> str:
    return digests.check(bundle, Manifest.load(bundle), **options)  # type: ignore[arg-type]


def flip(path: Path, at: int, *, silently: bool = False) -> None:
    """Change one bit; silently, as a disk does that loses it: with the times that the file had."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    if silently:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("at", [0, BLOCK - 1, BLOCK, 3 * BLOCK + 7, SIZE - 1])
def test_a_byte_that_is_another_is_named_by_file_and_place(bundle: Path, at: int) -> None:
    flip(bundle / WEIGHTS, at)
    first = at // BLOCK * BLOCK
    place = f"{bundle / WEIGHTS} is damaged between bytes {first} and {min(first + BLOCK, SIZE)}"
    with pytest.raises(BundleError, match=place):
        check(bundle)


def test_the_manifest_and_the_digests_are_checked_too(bundle: Path) -> None:
    text = (bundle / MANIFEST).read_text()
    (bundle / MANIFEST).write_text(text.replace('"num_layers": 1', '"num_layers": 2'))
    with pytest.raises(BundleError, match=r"manifest\.json is damaged between bytes 0 and"):
        check(bundle)
    (bundle / MANIFEST).write_text(text)
    check(bundle)
    whole = (bundle / DIGESTS).read_bytes()
    for at in range(0, len(whole), 7):
        flip(bundle / DIGESTS, at)
        with pytest.raises(BundleError, match=r"digests\.json is damaged, or of another bundle"):
            check(bundle, everything=True)
        (bundle / DIGESTS).write_bytes(whole)


@pytest.mark.parametrize("name", [MANIFEST, DIGESTS])
def test_a_file_of_endless_lists_is_damaged(bundle: Path, name: str) -> None:
    (bundle / name).write_text("[" * 100_000)
    with pytest.raises(BundleError, match=name):
        digests.check(bundle, Manifest.load(bundle))


def test_a_bundle_without_digests_is_refused(bundle: Path) -> None:
    (bundle / DIGESTS).unlink()
    with pytest.raises(BundleError, match=r"digests\.json is missing\. Build it with"):
        check(bundle)


def test_files_that_did_not_change_are_not_read_again(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not digests.is_checked(bundle, Manifest.load(bundle))
    state = check(bundle)
    assert digests.is_checked(bundle, Manifest.load(bundle))
    monkeypatch.setattr(digests, "_digests", None)  # nothing can be read
    assert check(bundle) == state
    with pytest.raises(TypeError):
        check(bundle, everything=True)


def test_what_was_written_after_the_check_is_read_again(bundle: Path) -> None:
    check(bundle)
    flip(bundle / WEIGHTS, 9, silently=True)
    with pytest.raises(BundleError, match="damaged"):  # no program can set the time of a file's last change
        check(bundle)


def test_a_copy_is_read_again(bundle: Path, tmp_path: Path) -> None:
    check(bundle)
    (bundle / WEIGHTS).rename(bundle / "old")
    (bundle / WEIGHTS).write_bytes((bundle / "old").read_bytes())
    assert not digests.is_checked(bundle, Manifest.load(bundle))


def test_a_state_that_another_process_checked_is_enough(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = check(bundle)
    (bundle / digests.CHECKED).unlink()
    monkeypatch.setattr(digests, "_digests", None)
    assert digests.check(bundle, Manifest.load(bundle), known=state) == state


def test_files_that_changed_just_now_are_not_trusted(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "SETTLED_SECONDS", 1000.0)
    check(bundle)
    assert not (bundle / digests.CHECKED).exists()


def test_a_record_that_cannot_be_read_or_written_costs_a_reading(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("{", "[" * 100_000):
        (bundle / digests.CHECKED).write_text(text)
        assert not digests.is_checked(bundle, Manifest.load(bundle))

    def none(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "replace", none)
    check(bundle)
    assert [one.name for one in bundle.iterdir() if one.name.startswith("checked.json.")] == []


def test_how_much_there_is_to_read(bundle: Path) -> None:
    assert digests.total_bytes(bundle, Manifest.load(bundle)) == SIZE + (bundle / MANIFEST).stat().st_size


def test_a_file_that_is_gone_is_no_accident(bundle: Path) -> None:
    known = Manifest.load(bundle)
    (bundle / WEIGHTS).unlink()
    with pytest.raises(BundleError, match=r"model\.data cannot be read: No such file"):
        digests.check(bundle, known)


def test_a_check_ends_where_the_process_is_to_end(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping, read = threading.Event(), list[int]()
    whole = digests._digest

    def stopped_after_one(path: Path, first: int, stopping: threading.Event) -> str:
        found = whole(path, first, stopping)
        read.append(first)
        stopping.set()
        return found

    monkeypatch.setattr(digests, "_digest", stopped_after_one)
    monkeypatch.setattr(digests, "MOST_THREADS", 1)
    with pytest.raises(digests.StoppedError):
        digests.check(bundle, Manifest.load(bundle), stopping=stopping)
    assert len(read) == 1
    assert not (bundle / digests.CHECKED).exists()
