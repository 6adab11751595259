"""The sources of training text: their shares, and what is left out."""

from __future__ import annotations

import hashlib
import math
from functools import partial

import pytest
from trimode_train.data.sources import HELD_OUT_FILES, SOURCES, Kind, Source, is_held_out, texts

Shares = dict[str, tuple[dict[str, str], dict[str, str]]]
BY_NAME = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)


@pytest.fixture(scope="module")
def shares() -> Shares:
    """Names and texts of each source's training share and held-out share; reading them takes seconds."""
    return {source.name: (dict(source.share(False)), dict(source.share(True))) for source in SOURCES}


@BY_NAME
def test_no_text_is_in_both_shares_and_none_is_lost(source: Source, shares: Shares) -> None:
    training, held_out = shares[source.name]
    names = [name for name, _ in source.texts()]
    assert len(names) == len(set(names))
    assert not set(training) & set(held_out)
    assert set(training) | set(held_out) == set(names)


@BY_NAME
def test_texts_are_whole_and_not_empty(source: Source, shares: Shares) -> None:
    again = dict(source.texts())
    for share in shares[source.name]:
        assert all(text.strip() and text == again[name] for name, text in share.items())


def test_the_share_follows_from_the_hash_of_the_name() -> None:
    for name in ("ast.py", "json/decoder.py", "for", ""):
        number = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
        assert is_held_out(name, 7) == (number % 7 == 0)
        assert is_held_out(name, 1)


def test_the_share_does_not_follow_from_the_text() -> None:
    names = [f"file{i}.py" for i in range(200)]
    kept = []
    for text in ("a = 1\n", "b = 2\n"):
        files = [(name, text) for name in names]
        source = Source("s", "code", "MIT", "here", partial(iter, files))
        kept.append([name for name, _ in source.share(held_out=True)])
    assert kept[0] == kept[1] == [name for name in names if is_held_out(name, HELD_OUT_FILES)]
    assert kept[0]


def test_about_one_file_in_so_many_is_held_out(shares: Shares) -> None:
    training, held_out = (sum(len(pair[i]) for pair in shares.values()) for i in (0, 1))
    n, p = training + held_out, 1 / HELD_OUT_FILES
    assert abs(held_out - n * p) < 4 * math.sqrt(n * p * (1 - p))


def test_a_source_that_is_never_held_out_is_wholly_in_training(shares: Shares) -> None:
    whole = [source for source in SOURCES if source.never_held_out]
    assert whole
    for source in whole:
        assert shares[source.name] == (dict(source.texts()), {})
    name = next(f"{i}" for i in range(1000) if is_held_out(f"{i}", HELD_OUT_FILES))
    for never in (False, True):
        assert Source("s", "code", "MIT", "here", lambda: iter([]), never).is_held_out(name) is not never


def test_texts_of_a_kind_are_those_of_its_sources(shares: Shares) -> None:
    for kind in ("code", "prose"):
        for held_out in (False, True):
            expected = [t for s in SOURCES if s.kind == kind for t in shares[s.name][held_out].items()]
            assert texts(kind, held_out) == expected


def test_tests_and_installed_packages_are_left_out(shares: Shares) -> None:
    names = [name for pair in shares.values() for share in pair for name in share]
    assert not [name for name in names if {"test", "tests", "site-packages"} & set(name.split("/"))]


@pytest.fixture
def story(shares: Shares) -> str:
    (text,) = shares[next(source.name for source in SOURCES if "2889" in source.name)][0].values()
    return text


def test_the_story_is_whole_and_without_its_publisher_s_marks(story: str) -> None:
    assert "***" not in story
    assert "Little though they seem to think of it" in story
    assert "no means has been found of increasing the length of\nthe terrestrial year." in story


def test_the_story_is_without_its_transcriber_s_lines(story: str) -> None:
    assert not [line for line in ("Produced by", "Redactor", "Project Gutenberg") if line in story]


@pytest.mark.parametrize(("kind", "package"), [("code", "networkx"), ("prose", "reasoning-gym")])
def test_a_package_that_is_missing_is_named(kind: Kind, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=f"needs the package {package}, which is not installed"):
        texts(kind)
