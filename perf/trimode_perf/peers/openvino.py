"""OpenVINO GenAI's LLMPipeline, its C++ loop over paged attention: autoregressive, float32 like every peer here.

optimum-intel, which writes its models for people, knows no Ministral3. `write` does by hand what that does: trace the
torch forward, name what goes in and out, put `beam_idx` before the cache, turn the cache into state. Batch 1.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import openvino
import openvino_genai
import torch
from openvino import Dimension, PartialShape, opset13
from openvino._offline_transformations import apply_make_stateful_transformation
from torch import Tensor, nn
from torch.nn import functional as F

from .eager import TorchModel
from .peer import Answer, Peer

PRECISION = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "ATTENTION_BACKEND": "PA"}
INPUTS = ("input_ids", "attention_mask", "position_ids")


def load(checkpoint: Path, threads: int) -> Peer:
    """Write the checkpoint as an OpenVINO model and load that.

    Nothing is kept between answers: prefix caching, on by default, would spare a repeated prompt's prefill.
    """
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.enable_prefix_caching = False
    scheduler.max_num_batched_tokens = 4096  # whole prompts in one pass
    with TemporaryDirectory() as folder:
        write(checkpoint, Path(folder))
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


class Repeating(TorchModel):
    """The model with key and value heads repeated in sight: the pattern that OpenVINO makes paged attention of."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """As TorchModel's."""
        group = q.shape[1] // k.shape[1]
        k, v = (
            x[:, :, None].expand(-1, -1, group, -1, -1).reshape(x.shape[0], q.shape[1], x.shape[2], x.shape[3])
            for x in (k, v)
        )
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)


class Causal(nn.Module):
    """The causal forward with the arguments that a pipeline gives."""

    def __init__(self, model: TorchModel) -> None:
        super().__init__()
        self._model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past: list[Tensor]) -> Any:
        """Ids and positions (batch, length), keys and values by turns -> logits, keys and values by turns."""
        del attention_mask  # of equal lengths all is visible
        cache = list(zip(past[::2], past[1::2], strict=True))
        angles = self._model.angles(position_ids)
        logits, new = self._model.forward(input_ids, angles, cache, causal=True)
        return logits, *(tensor for pair in new for tensor in pair)


def write(checkpoint: Path, out: Path) -> None:
    """Write `out`/openvino_model.xml and .bin, and the checkpoint's config files beside them."""
    torch_model = Repeating(checkpoint, adapter=False)
    config = torch_model.config
    heads, size, count = config["num_key_value_heads"], config["head_dim"], config["num_hidden_layers"]
    ids = torch.arange(3).repeat(2, 1)
    example = {
        "input_ids": ids,
        "attention_mask": torch.ones(2, 8, dtype=torch.int64),
        "position_ids": ids + 5,
        "past": [torch.zeros(2, heads, 5, size)] * (2 * count),
    }
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape in an if
        model = openvino.convert_model(Causal(torch_model).eval(), example_input=example)
    pairs = [(layer, kind) for layer in range(count) for kind in ("key", "value")]
    past = [f"past_key_values.{layer}.{kind}" for layer, kind in pairs]
    present = [f"present.{layer}.{kind}" for layer, kind in pairs]
    for port, name in zip(model.inputs, [*INPUTS, *past], strict=True):
        port.get_tensor().set_names({name})
        free = Dimension(-1)
        shape = [free, free] if name in INPUTS else [free, Dimension(heads), free, Dimension(size)]
        port.get_node().set_partial_shape(PartialShape(shape))
    for port, name in zip(model.outputs, ["logits", *present], strict=True):
        port.get_tensor().set_names({name})
    _keep_state(model, past, present)
    out.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, out / "openvino_model.xml", compress_to_fp16=False)
    for name in ("config.json", "generation_config.json"):
        shutil.copy(checkpoint / name, out / name)


def _keep_state(model: openvino.Model, past: list[str], present: list[str]) -> None:
    """Make state of the cache, empty at first, its rows picked by `beam_idx`."""
    beam = opset13.parameter(PartialShape([-1]), openvino.Type.i32, name="beam_idx")
    beam.output(0).get_tensor().set_names({"beam_idx"})
    model.add_parameters([beam])
    for port in [port for port in model.inputs if port.any_name in past]:
        users = list(port.get_target_inputs())
        picked = opset13.gather(port, beam, opset13.constant(0))
        for user in users:
            user.replace_source_output(picked.output(0))
    model.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(model, dict(zip(past, present, strict=True)))
    batch = opset13.gather(opset13.shape_of(model.input("input_ids")), opset13.constant([0]), opset13.constant(0))
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            _, heads, _, size = node.get_output_partial_shape(0)
            sizes = [opset13.constant([number], dtype="int64") for number in (heads.get_length(), 0, size.get_length())]
            shape = opset13.concat([batch, *sizes], 0)
            node.set_arguments([opset13.broadcast(opset13.constant(0.0, dtype="float32"), shape)])
    model.validate_nodes_and_infer_types()
