"""What the tokenizers library raises, turned into errors of ours: its own texts can hold paths, and go into the log.

A panic of its Rust code is no Exception but a BaseException, which would end the thread that it comes from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import TrimodeError

PANIC = "PanicException"
"""The name of the class that pyo3 raises for a panic; the class itself cannot be imported."""

logger = logging.getLogger(__name__)


def is_failure(exc: BaseException) -> bool:
    """Whether an exception is the library's: any Exception, or a panic. Ctrl-C and the like are not."""
    return isinstance(exc, Exception) or type(exc).__name__ == PANIC


@contextmanager
def raising(error: TrimodeError) -> Iterator[None]:
    """Raise `error` in place of what the library raises inside."""
    try:
        yield
    except TrimodeError:
        raise
    except BaseException as exc:
        if not is_failure(exc):
            raise
        logger.error("the tokenizers library failed: %s: %.200s", type(exc).__name__, exc)
        raise error from exc
