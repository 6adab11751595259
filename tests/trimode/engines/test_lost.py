"""The errors after which a GPU is lost: their codes, names and words are CUDA's own, and those of its reference."""

from __future__ import annotations

import pytest
from cuda.bindings import driver, runtime
from trimode.engines.lost import LOST, lost, lost_by_words
from trimode.errors import DeviceLostError

NOT_SAID_BY_THE_REFERENCE = {214, 220, 709}
RELAUNCH = "the process must be terminated and relaunched"


def test_all_errors_of_which_the_reference_says_so_are_there_and_few_others() -> None:
    says = {int(code) for code in runtime.cudaError_t if RELAUNCH in " ".join((code.__doc__ or "").split())}
    assert set(LOST) == says | NOT_SAID_BY_THE_REFERENCE


@pytest.mark.parametrize("code", LOST)
def test_names_and_words_are_cudas(code: int) -> None:
    name, words = LOST[code]
    assert driver.CUresult(code).name == name
    assert runtime.cudaGetErrorString(runtime.cudaError_t(code))[1].decode() == words


def test_the_error_holds_what_was_said_and_the_drivers_name() -> None:
    said = "cudaStreamSynchronize failed with cudaErrorIllegalAddress (700): an illegal memory access was encountered"
    for found in (lost(700, said), lost_by_words(said)):
        assert isinstance(found, DeviceLostError)
        assert str(found) == f"{said} [CUDA_ERROR_ILLEGAL_ADDRESS]"


@pytest.mark.parametrize("code", [0, 1, 2, 900, 999])
def test_other_errors_leave_the_gpu_usable(code: int) -> None:
    words = runtime.cudaGetErrorString(runtime.cudaError_t(code))[1].decode()
    assert lost(code, words) is None
    assert lost_by_words(f"CUDA error: {words}") is None
