"""How much of a draft is right: greedy cycles over texts that the model wrote itself, many texts at a time.

Greedy text is known beforehand, so a cycle takes the draft's pass alone: verification would accept what equals the
text. Knows nothing about training.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ..data.packing import Document
from ..model.model import Model, Past, bias_from, causal_bias, fused_attention
from .draft_batches import Block, lay_out


@dataclass
class Acceptance:
    """Sums over cycles: how many there were, the tokens that they gave, and at each place drafts and hits."""

    cycles: int = 0
    tokens: int = 0
    drafted: list[int] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)

    @property
    def per_cycle(self) -> float:
        """Tokens of a draft and its verification: those accepted, and one that the verification gives."""
        return self.tokens / max(self.cycles, 1)

    def add(self, right: list[bool]) -> int:
        """Count a cycle whose draft was `right` at these places; return the tokens that it gave."""
        accepted = next((place for place, one in enumerate(right) if not one), len(right))
        self.cycles, self.tokens = self.cycles + 1, self.tokens + accepted + 1
        for place in range(min(accepted + 1, len(right))):  # behind the first wrong one nothing is verified
            if place == len(self.drafted):
                self.drafted.append(0)
                self.hits.append(0)
            self.drafted[place] += 1
            self.hits[place] += place < accepted
        return accepted + 1


@torch.no_grad()
def acceptance(
    model: Model, documents: list[Document], length: int, *, causal: bool = False, adapter: bool = True
) -> Acceptance:
    """Return what drafts of `length` tokens give, seed included, in linear or `causal` (quadratic) cycles.

    A quadratic draft of `length` tokens has as many masks, of which the first is not used: per cycle and per forward
    are the same there.
    """
    found = Acceptance()
    seeds = [document.start for document in documents]  # the first token of a reply comes from the prompt's pass
    layout = lay_out(documents, [[Block(0, 2, False)] for _ in documents], model.config.mask_id)
    past = _clean_past(model, layout.clean)
    going = [row for row, document in enumerate(documents) if seeds[row] < len(document.ids) - 1 - causal]
    past = [(keys[going], values[going]) for keys, values in past]
    while going:
        some = [documents[row] for row in going]
        batch = lay_out(some, [[Block(seeds[row], length, causal)] for row in going], model.config.mask_id)
        room = layout.clean.shape[1]
        sees = torch.cat([_wider(batch.sees[:, :, : batch.clean.shape[1]], room), batch.sees[:, :, -length:]], dim=-1)
        on = torch.ones(*batch.noisy.shape, 1) if adapter else None
        bias = bias_from(sees[:, None], torch.float32)
        hidden, _ = model.encoder(batch.noisy, batch.positions, fused_attention(bias), past, on)
        best = model.diffusion_head(hidden.flatten(0, 1)[batch.drafted]).argmax(-1)  # (documents, places)
        right = (best == batch.target) & batch.real
        for index, row in enumerate(going):
            places = int(batch.real[index].sum())
            seeds[row] += found.add(right[index, :places].tolist())
        left = [index for index, row in enumerate(going) if seeds[row] < len(documents[row].ids) - 1 - causal]
        if len(left) < len(going):  # copying keys and values costs more than a pass over a short draft
            going, past = [going[index] for index in left], [(keys[left], values[left]) for keys, values in past]
    return found


def _clean_past(model: Model, clean: torch.Tensor) -> Past:
    length = clean.shape[1]
    places = torch.arange(length)[None].expand_as(clean)
    return model.encoder(clean, places, fused_attention(causal_bias(length, length)))[1]


def _wider(sees: torch.Tensor, room: int) -> torch.Tensor:
    """Pad the clean part of a mask to `room` tokens, which are not seen."""
    return torch.nn.functional.pad(sees, (0, room - sees.shape[2]))
