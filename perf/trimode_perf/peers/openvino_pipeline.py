"""OpenVINO GenAI's LLMPipeline, its C++ loop over paged attention: autoregressive, float32 like every peer here.

Nothing is kept between answers: prefix caching, on by default, would spare a repeated prompt's prefill.
Tried beside it: llama-cpp-python 0.3.36 has no wheel in the registry, only sources to build for minutes, so it is left
out; optimum-intel 2.2.0 knows no Ministral3 and wants transformers below 5.6, so openvino_ir writes the model.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openvino
import openvino_genai

from . import openvino_ir
from .peer import Answer, Peer

PRECISION = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "ATTENTION_BACKEND": "PA"}


def load(checkpoint: Path, threads: int) -> Peer:
    """Write the checkpoint as an OpenVINO model and load that."""
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.enable_prefix_caching = False
    scheduler.max_num_batched_tokens = 4096  # whole prompts in one pass
    with TemporaryDirectory() as folder:
        openvino_ir.write(checkpoint, Path(folder))
        pipeline = openvino_genai.LLMPipeline(
            folder, "CPU", scheduler_config=scheduler, INFERENCE_NUM_THREADS=threads, **PRECISION
        )

    def generate(prompt: list[int], max_tokens: int, eos: int) -> Answer:
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.do_sample = max_tokens, False
        config.eos_token_id, config.stop_token_ids = eos, {eos}
        ids = np.array([prompt], dtype=np.int64)
        given = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids)))
        answer = pipeline.generate(given, config)
        passes = len(answer.perf_metrics.raw_metrics.token_infer_durations)
        return Answer(list(answer.tokens[0]), passes - 1)

    return Peer(f"OpenVINO GenAI {openvino_genai.__version__.partition('-')[0]}", {"autoregressive": generate})
