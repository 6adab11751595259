"""What the tokenizers library raises never reaches an answer, and a panic never ends a thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from trimode.errors import BundleError, RequestError, TrimodeError
from trimode.text.library_errors import is_failure, raising
from trimode.text.tokenizer import Tokenizer

from tests.support.toy import byte_tokenizer


class PanicException(BaseException):  # the name that pyo3 gives it
    """Stands for the class of pyo3, which nothing can import."""


PATH = "/build/registry/src/tokenizers/models/bpe.rs"
FAILURES = [PanicException(f"panicked at {PATH}"), ValueError(PATH)]


class Failing:
    """A tokenizer of the library in which one method fails."""

    def __init__(self, backend: Any, name: str, error: BaseException) -> None:
        self.backend, self.name, self.error = backend, name, error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise self.error

        return fail if name == self.name else getattr(self.backend, name)


def failing(name: str, error: BaseException) -> Tokenizer:
    tokenizer = byte_tokenizer()
    tokenizer._backend = Failing(tokenizer._backend, name, error)  # type: ignore[assignment]
    return tokenizer


@pytest.mark.parametrize("error", FAILURES, ids=["panic", "exception"])
@pytest.mark.parametrize(
    ("name", "use", "kind"),
    [
        ("encode", lambda one: one.encode("abc", field="text_input"), RequestError),
        ("encode", lambda one: one.encode_with_offsets("abc"), RequestError),
        ("decode", lambda one: one.decode([5]), TrimodeError),
        ("decode_batch", lambda one: one.meeting("a"), TrimodeError),
        ("get_added_tokens_decoder", lambda one: one.mark("a"), TrimodeError),
    ],
)
def test_it_becomes_an_error_without_paths(
    name: str, use: Callable[[Tokenizer], object], kind: type[TrimodeError], error: BaseException
) -> None:
    with pytest.raises(kind) as caught:
        use(failing(name, error))
    assert "/" not in caught.value.on_the_wire()
    assert caught.value.error_type in ("invalid_value", "internal")


def test_its_words_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(RequestError):
        failing("encode", FAILURES[0]).encode("abc")
    assert PATH in caplog.text


def test_a_panic_while_loading_is_a_bad_bundle(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")

    class Library:
        @staticmethod
        def from_str(written: str) -> None:
            raise PanicException("panicked")

    monkeypatch.setattr("tokenizers.Tokenizer", Library)
    with pytest.raises(BundleError, match="cannot be read: panicked"):
        Tokenizer.load(tmp_path)


def test_ctrl_c_passes() -> None:
    assert not is_failure(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt), raising(TrimodeError("no")):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        failing("decode", KeyboardInterrupt()).decode([5])


def test_an_error_of_ours_stays_what_it_is() -> None:
    with pytest.raises(RequestError, match="field limit"), raising(TrimodeError("no")):
        raise RequestError("field", "limit", 1)
