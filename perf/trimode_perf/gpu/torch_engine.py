"""A checkpoint decoded greedily by the reference's loops over StaticModel, float32, blocks and steps as CUDA graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trimode_train.evaluation import decode
from trimode_train.model import shards

from ..peers.eager import read_adapter
from .model import Call, StaticModel
from .parity import Question


class GraphModel:
    """Implements `decode.Decodes`: sessions, of which one lives at a time."""

    def __init__(self, checkpoint: Path, device: str, *, longest: int) -> None:
        """Read a checkpoint; `longest` is the most tokens a session holds, one block more than its answer."""
        self.config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        stored = shards.load(checkpoint)
        lora, scale = read_adapter(checkpoint / "linear_spec_lora")

        def placed(tensor: Tensor) -> Tensor:
            return tensor.to(device, torch.float32)

        lora = {name: placed(tensor) for name, tensor in lora.items()}
        self.longest = longest
        # what a capture warms up with goes behind what a session may hold
        self.room = 2 * longest
        self._model = StaticModel(
            self.config, lambda name: placed(stored[name]), longest=self.room, adapter=(lora, scale)
        )
        self._cache = self._model.cache(1, self.room)
        self._calls: dict[tuple[int, bool], Call] = {}

    def session(self, room: int) -> GraphSession:
        """Return an empty session; the one before it is over.

        Raises:
            ValueError: more room than was prepared for.
        """
        if room > self.longest:
            raise ValueError(f"room: expected at most {self.longest} tokens, got {room}")
        return GraphSession(self)

    def run(self, ids: Tensor, start: int, *, causal: bool, draft: bool, captured: bool) -> Tensor:
        """Run one row; return its logits  # (tokens, vocab) on the CPU."""
        key = (len(ids), captured)
        if key not in self._calls:
            call = Call(self._model, self._cache, len(ids), self.room)
            call.start.fill_(self.room - len(ids))
            if captured:
                call.capture()
            self._calls[key] = call
        call = self._calls[key]
        call.ids.copy_(ids[None])
        call.start.fill_(start)
        call.causal.fill_(causal)
        call.draft.fill_(draft)
        call.run()
        logits: Tensor = call.logits[0].cpu()
        return logits


class GraphSession:
    """The keys and values of the text so far; only causal chunks count."""

    def __init__(self, model: GraphModel) -> None:
        self._model = model
        self.length = 0

    def causal(self, ids: Tensor, *, last: bool = False) -> Tensor:
        """Append a chunk; row i of the logits predicts the token after it  # (length or 1, vocab)."""
        # a prompt's length hardly ever comes twice, so it is not worth a graph
        logits = self._model.run(ids, self.length, causal=True, draft=False, captured=self.length > 0)
        self.length += len(ids)
        return logits[-1:] if last else logits

    def block(self, ids: Tensor, *, draft: bool = False) -> Tensor:
        """See a block in both directions; row i predicts token i  # (length, vocab)."""
        return self._model.run(ids, self.length, causal=False, draft=draft, captured=True)

    def crop(self, length: int) -> None:
        """Forget what lies beyond `length` tokens."""
        self.length = length


class TorchEngine:
    """Implements `parity.Engine`."""

    def __init__(self, device: str) -> None:
        self.about = f"torch {torch.__version__}: static buffers, {'CUDA graphs' if device == 'cuda' else 'no graphs'}"
        self._device = device

    def load(self, checkpoint: Path, *, longest: int) -> TorchDecoder:
        """Return the checkpoint, ready to decode."""
        torch.set_float32_matmul_precision("highest")  # TF32 products are not float32
        return TorchDecoder(checkpoint, self._device, longest)


class TorchDecoder:
    """Implements `parity.Decoder`."""

    def __init__(self, checkpoint: Path, device: str, longest: int) -> None:
        self._model = GraphModel(checkpoint, device, longest=longest)

    def decode(self, asked: Question) -> list[int]:
        """Return the tokens of the answer."""
        loop = getattr(decode, asked.mode)
        knobs: dict[str, Any] = {}
        if asked.mode != "autoregressive":
            knobs = {"length": asked.block_length, "mask": self._model.config["mask_token_id"]}
        if asked.mode == "diffusion":
            knobs["threshold"] = asked.threshold
        answer: decode.Decoded = loop(self._model, asked.prompt, asked.max_tokens, eos=asked.eos, **knobs)
        return answer.ids[: asked.max_tokens]

    def close(self) -> None:
        """Give the memory back."""
        del self._model
