"""Which errors of CUDA mean that a process has lost its GPU: nothing that it asks of it succeeds any more.

Knows codes and CUDA's words for them; touches no GPU.
"""

from __future__ import annotations

from ..errors import DeviceLostError

LOST: dict[int, tuple[str, str]] = {
    214: ("CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"),
    220: ("CUDA_ERROR_NVLINK_UNCORRECTABLE", "uncorrectable NVLink error detected during the execution"),
    226: ("CUDA_ERROR_CONTAINED", "Invalid access of peer GPU memory over nvlink or a hardware error"),
    700: ("CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"),
    702: ("CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"),
    709: ("CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"),
    710: ("CUDA_ERROR_ASSERT", "device-side assert triggered"),
    714: ("CUDA_ERROR_HARDWARE_STACK_ERROR", "hardware stack error"),
    715: ("CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"),
    716: ("CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"),
    717: ("CUDA_ERROR_INVALID_ADDRESS_SPACE", "operation not supported on global/shared address space"),
    718: ("CUDA_ERROR_INVALID_PC", "invalid program counter"),
    719: ("CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"),
    721: ("CUDA_ERROR_TENSOR_MEMORY_LEAK", "tensor memory not completely freed"),
    810: ("CUDA_ERROR_MPS_CLIENT_TERMINATED", "the MPS client has been terminated by the server"),
    911: ("CUDA_ERROR_EXTERNAL_DEVICE", "an async error has occured in external entity outside of CUDA"),
}
"""The driver API's name of each code, and what cudaGetErrorString says of it; the runtime API has the same numbers.

Of all but 214, 220 and 709 the CUDA runtime API's reference (cudaError_t) says that the process must be terminated and
relaunched to continue using CUDA. 214 and 220 are failures of the hardware, after which memory cannot be trusted; 709
is what calls on a context get that was destroyed.
"""


def lost(code: int, text: str) -> DeviceLostError | None:
    """Return the error for what CUDA said, `text`, with its code; None if the GPU can still be used."""
    return DeviceLostError(f"{text} [{LOST[code][0]}]") if code in LOST else None


def lost_by_words(text: str) -> DeviceLostError | None:
    """Return the error for a library's `text` that holds CUDA's own words; None if it has none that mean a lost GPU."""
    for code, (_, words) in LOST.items():
        if words in text:
            return lost(code, text)
    return None
