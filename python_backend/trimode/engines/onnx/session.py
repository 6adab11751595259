"""A session of ONNX Runtime on the CPU, opened as all graphs of a bundle are. Knows no graph."""

from __future__ import annotations

import os
from pathlib import Path

import onnxruntime as ort

from ...bundle.manifest import rebuild_hint
from ...errors import BundleError
from .processor import byte_products_are_exact

SPIN_MICROSECONDS = "50"
"""Microseconds: longer than nearly every operator of a small model, far shorter than a time slice of the system."""


def open_session(graph: Path, precision: str, *, threads: int, spin: bool) -> ort.InferenceSession:
    """Load a bundle's graph; `threads` 0 takes every core, `spin` lets them wait for the next operator by spinning.

    They spin for SPIN_MICROSECONDS at most, and never past the end of a call.

    Raises:
        BundleError: ONNX Runtime cannot load it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    if spin:
        options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
        options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    if precision == "int8" and not byte_products_are_exact():
        # without it they saturate; with it the same integers take twice the time (SmolLM2, passes of 32 tokens)
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime's exceptions have no base class of their own
        raise BundleError(f"{graph} cannot be loaded: {exc}. {rebuild_hint(graph.parent)}") from exc
