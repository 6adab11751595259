"""llama.cpp's C API, as the wheel xllamacpp carries it, called by ctypes: one model, one sequence.

Structs and calls: include/llama.h of ggml-org/llama.cpp. Two structs of parameters are passed by value and grow from
version to version: only their first fields are named here, held to the defaults that the header gives, and the rest
is handed back as it came. Knows no checkpoint.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .peer import PeerError

PACKAGE = "xllamacpp"
ROOM = 512
"""Bytes that hold either struct of parameters, with room to grow."""
ERROR = 4
"""GGML_LOG_LEVEL_ERROR."""
F32, F16 = 0, 1
"""GGML_TYPE_F32 and GGML_TYPE_F16."""
BY_ITSELF, NEVER = -1, 0
"""LLAMA_FLASH_ATTN_TYPE_AUTO and _DISABLED."""
DEFAULTS = {
    "n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1, "flash_attn": BY_ITSELF, "type_k": F16,
    "type_v": F16,
}  # fmt: skip
"""Of llama_context_params; where they are not found, its fields lie elsewhere."""


class ModelParams(ctypes.Structure):
    """llama_model_params, taken and given as it is."""

    _fields_ = (("rest", ctypes.c_byte * ROOM),)


class ContextParams(ctypes.Structure):
    """llama_context_params: tokens of the context, of a call, of one computation; attention; types of its cache."""

    _fields_ = (
        ("n_ctx", ctypes.c_uint32),
        ("n_batch", ctypes.c_uint32),
        ("n_ubatch", ctypes.c_uint32),
        ("n_seq_max", ctypes.c_uint32),
        ("between", ctypes.c_byte * 36),
        ("flash_attn", ctypes.c_int),
        ("more", ctypes.c_byte * 48),
        ("type_k", ctypes.c_int),
        ("type_v", ctypes.c_int),
        ("rest", ctypes.c_byte * ROOM),
    )


class Batch(ctypes.Structure):
    """llama_batch: without positions and sequences, tokens follow those of sequence 0."""

    _fields_ = (
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.c_void_p),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.c_void_p),
        ("n_seq_id", ctypes.c_void_p),
        ("seq_id", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
    )


def about() -> str:
    """Return the library's name and version."""
    return f"llama.cpp ({PACKAGE} {version(PACKAGE)})"


class Model:
    """A GGUF file, loaded, and the keys and values of one text."""

    def __init__(self, file: Path, threads: int, context: int, *, exact: bool = False) -> None:
        """Load `file` with room for `context` tokens.

        By llama.cpp's defaults keys and values are F16, and flash attention rounds too; `exact` has both in F32.

        Raises:
            PeerError: the library is another one than described here, or cannot load the file.
        """
        self._lib = _library()
        params = self._lib.llama_context_default_params()
        if found := {name: getattr(params, name) for name in DEFAULTS if getattr(params, name) != DEFAULTS[name]}:
            raise PeerError(f"{about()}: llama_context_params lies otherwise than expected: {found}")
        self._model = self._lib.llama_model_load_from_file(str(file).encode(), self._lib.llama_model_default_params())
        if not self._model:
            raise PeerError(f"{about()} cannot load {file.name}")
        params.n_ctx = params.n_batch = context
        if exact:
            params.type_k, params.type_v, params.flash_attn = F32, F32, NEVER
        self._context = self._lib.llama_init_from_model(self._model, params)
        if not self._context:
            raise PeerError(f"{about()} cannot make a context of {context} tokens")
        self._lib.llama_set_n_threads(self._context, threads, threads)
        self._memory = self._lib.llama_get_memory(self._context)
        self._vocab: int = self._lib.llama_vocab_n_tokens(self._lib.llama_model_get_vocab(self._model))
        self._causal = True

    def decode(self, tokens: Sequence[int], *, every: bool = False, causal: bool = True) -> NDArray[np.float32]:
        """Add `tokens` to the text; return the logits of the last one, or of every one  # (1 or tokens, vocab).

        The array is the library's own: the next call writes over it. Without `causal`, tokens see those after them too.

        Raises:
            PeerError: the library refused.
        """
        ids, wanted = np.asarray(tokens, np.int32), np.ones(len(tokens), np.int8)
        wanted[:-1] = every
        if causal != self._causal:  # each such call writes a line to stderr
            self._lib.llama_set_causal_attn(self._context, causal)
            self._causal = causal
        batch = Batch(len(ids), ids.ctypes.data, None, None, None, None, wanted.ctypes.data)
        if status := self._lib.llama_decode(self._context, batch):
            raise PeerError(f"llama_decode of {len(ids)} tokens returned {status}")
        rows = len(ids) if every else 1
        return np.ctypeslib.as_array(self._lib.llama_get_logits(self._context), (rows, self._vocab))

    def crop(self, length: int) -> None:
        """Forget what lies beyond `length` tokens."""
        self._lib.llama_memory_seq_rm(self._memory, 0, length, -1)

    def close(self) -> None:
        """Let context and model go."""
        self._lib.llama_free(self._context)
        self._lib.llama_model_free(self._model)


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _log(level: int, text: bytes, _: int | None) -> None:
    """Hand on what the library says of errors; of all else it says a line a tensor."""
    if level == ERROR:
        sys.stderr.write(text.decode("utf-8", "replace"))


def _library() -> ctypes.CDLL:
    """Load the library of the wheel, without the module around it, and name what calls take and give."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PeerError(f"the package {PACKAGE} is not installed")
    files = sorted(Path(spec.submodule_search_locations[0]).glob(f"{PACKAGE}*.so"))
    if not files:
        raise PeerError(f"the package {PACKAGE} has no library")
    lib = ctypes.CDLL(str(files[0]))
    pointer, number, flag = ctypes.c_void_p, ctypes.c_int32, ctypes.c_bool
    calls: dict[str, tuple[object, tuple[object, ...]]] = {
        "llama_log_set": (None, (type(_log), pointer)),
        "llama_backend_init": (None, ()),
        "llama_model_default_params": (ModelParams, ()),
        "llama_context_default_params": (ContextParams, ()),
        "llama_model_load_from_file": (pointer, (ctypes.c_char_p, ModelParams)),
        "llama_init_from_model": (pointer, (pointer, ContextParams)),
        "llama_set_n_threads": (None, (pointer, number, number)),
        "llama_get_memory": (pointer, (pointer,)),
        "llama_model_get_vocab": (pointer, (pointer,)),
        "llama_vocab_n_tokens": (number, (pointer,)),
        "llama_set_causal_attn": (None, (pointer, flag)),
        "llama_decode": (number, (pointer, Batch)),
        "llama_get_logits": (ctypes.POINTER(ctypes.c_float), (pointer,)),
        "llama_memory_seq_rm": (flag, (pointer, number, number, number)),
        "llama_free": (None, (pointer,)),
        "llama_model_free": (None, (pointer,)),
    }
    for name, (result, arguments) in calls.items():
        call = getattr(lib, name)
        call.restype, call.argtypes = result, arguments
    lib.llama_log_set(_log, None)
    lib.llama_backend_init()
    return lib
