"""A process weighs what it has allocated."""

from __future__ import annotations

from trimode.grammar.heap import allocated


def test_what_is_allocated_counts_until_it_is_given_back() -> None:
    size = 64 * 2**20
    before = allocated()
    held = bytearray(size)
    grown = allocated() - before
    held[::4096] = b"x" * len(held[::4096])  # so that all of it is in memory
    assert 0.5 * size <= grown or 0.5 * size <= allocated() - before
    del held
    assert allocated() - before < 0.5 * size
