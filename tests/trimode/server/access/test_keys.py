"""API keys: which are read, who is let in, and what a file that changes does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from trimode.errors import Refusal, ServeError
from trimode.server.access.keys import LOOK_SECONDS, OPEN, Access
from trimode.server.access.rates import Rates

ALICE, BOB, CAROL = "alice-0123456789", "bob-0123456789ab", "carol-0123456789"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refused(admit: Callable[[str | None, str | None], str | None], *headers: str | None) -> str:
    with pytest.raises(Refusal) as caught:
        admit(*headers)
    assert caught.value.error_type == "unauthorized"
    return str(caught.value)


def test_without_keys_everybody_is_let_in() -> None:
    assert OPEN.admit(None, None) is None and OPEN.admit("Bearer x", None) is None and not OPEN.closed


def test_a_key_is_found_in_either_header() -> None:
    access = Access([f"alice {ALICE}", BOB])
    assert access.closed
    assert access.admit(f"Bearer {ALICE}", None) == access.admit(f"bearer  {ALICE} ", "x") == "alice"
    assert access.admit(None, BOB) == access.admit("Basic abc", BOB)
    assert access.names()[1].startswith("key-") and BOB not in "".join(access.names())


@pytest.mark.parametrize("headers", [(None, None), ("", ""), ("Bearer ", None), ("Basic abc", None)])
def test_who_has_no_key_hears_how_to_send_one(headers: tuple[str | None, str | None]) -> None:
    assert "Authorization: Bearer KEY" in refused(Access([ALICE]).admit, *headers)


@pytest.mark.parametrize("key", [BOB, ALICE[:-1], ALICE + "x", ALICE.upper(), "\udcff\udcff"])
def test_another_key_is_refused_and_not_repeated(key: str) -> None:
    assert key not in refused(Access([ALICE]).admit, f"Bearer {key}", None)


@pytest.mark.parametrize("text", ["", "short", "a b " + ALICE])
def test_what_is_no_key_does_not_start(text: str) -> None:
    with pytest.raises(ServeError, match="--api-key"):
        Access([text])


@pytest.mark.parametrize("content", [b"", b"# nothing\n\n", b"\xff", b"alice short\n"])
def test_a_file_without_keys_does_not_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(ServeError, match=str(file)):
        Access([], file)
    with pytest.raises(ServeError, match="cannot be read"):
        Access([], tmp_path / "missing")


def test_a_file_is_read_again_when_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, clock = tmp_path / "keys", Clock()
    file.write_text(f"# ours\nalice {ALICE}\n\n", encoding="utf-8")
    access = Access([CAROL], file, clock)
    assert access.admit(None, ALICE) == "alice"
    file.write_text(f"bob {BOB}\n", encoding="utf-8")
    os.utime(file, ns=(1, 1))  # a change within the clock's grain
    assert access.admit(None, ALICE) == "alice"  # nobody has looked yet
    clock.now += LOOK_SECONDS
    assert access.admit(None, BOB) == "bob" and access.admit(None, CAROL)
    refused(access.admit, None, ALICE)
    file.unlink()
    clock.now += LOOK_SECONDS
    assert access.admit(None, BOB) == "bob"
    said = caplog.text
    assert "bob" in said and "the former keys stay" in said
    assert not [key for key in (ALICE, BOB, CAROL) if key in said]


def test_limits_stand_behind_a_key(tmp_path: Path) -> None:
    usual = Rates(requests_per_minute=60, concurrent_requests=4)
    file = tmp_path / "keys"
    file.write_text(f"alice {ALICE} requests_per_minute=5 tokens_per_minute=none\n{BOB} concurrent_requests=1\n")
    access = Access([f"carol {CAROL}"], file, usual=usual)
    bob = access.admit(None, BOB)
    assert access.rates_of("alice") == Rates(5, None, 4)
    assert access.rates_of(bob) == Rates(60, None, 1)
    assert access.rates_of("carol") == access.rates_of(None) == access.rates_of("nobody") == usual


def test_a_limit_of_a_wrong_name_or_value_does_not_start() -> None:
    with pytest.raises(ServeError, match="--api-key: rpm is not a limit"):
        Access([f"alice {ALICE} rpm=5"])
    with pytest.raises(ServeError, match="--api-key: concurrent_requests must be a whole number"):
        Access([f"{ALICE} concurrent_requests=few"])


@pytest.mark.parametrize("text", [f"a b {ALICE}", f"a Secret_{ALICE}= {BOB}"])
def test_an_error_about_a_line_repeats_no_key(text: str) -> None:
    with pytest.raises(ServeError) as caught:
        Access([text])
    assert not any(word in str(caught.value) for word in text.split() if len(word) > 1)
