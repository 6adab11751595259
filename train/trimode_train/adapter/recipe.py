"""The settings of a draft adapter's run: its shape, its loss, and for a model of another family the answers and drafts.

Knows the settings' names, not what they do.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..data.recipe import Recipe


@dataclass(frozen=True)
class AdapterRecipe(Recipe):
    """A recipe with the adapter's shape and loss. Its model is the checkpoint's; AdamW updates the adapter."""

    start_from: str = "checkpoints/nano"
    rank: int = 32
    alpha: int = 128
    stored: str = "float32"  # the type of the adapter's files, a name of torch's
    documents: int = 4000  # that the model answers before the adapter's training begins
    temperature: float = 1.0  # of both distributions in the hybrid loss
    behind: float = 0.5  # a position k after the first rejected one weighs `behind` ** k


@dataclass(frozen=True)
class AnswerOptions:
    """What the served model is asked before training."""

    bundle: str = "build/out/smol-int8"  # relative to the project
    prompts: int = 3000
    held_out: int = 110
    at_once: int = 24
    threads: int = 0  # 0: all cores
    max_tokens: int = 160
    longest_prompt: int = 320  # tokens; a longer one is left out, as its clean copy costs more than it teaches
    temperature: float = 0.7
    sampled: float = 0.3  # share of the prompts that are answered at that temperature, the others greedily


@dataclass(frozen=True)
class DraftOptions:
    """The shape of a batch of drafts, and which drafts it has."""

    documents: int = 3  # a batch
    tokens: int = 320  # noisy tokens of a document, cut into blocks
    lengths: tuple[int, ...] = (4, 8, 12)  # of linear drafts, seed included
    odds: tuple[float, ...] = (0.3, 0.5, 0.2)
    causal: float = 0.4  # share of blocks that are drafts of quadratic speculation, whose seed does not see the masks
    causal_lengths: tuple[int, ...] = (2, 3, 4)  # of these, in masks


@dataclass(frozen=True)
class LlamaRecipe(AdapterRecipe):
    """The recipe of an adapter with a mask's embedding, for a frozen model that was not trained to denoise."""

    start_from: str = "checkpoints/smol"
    bfloat16: bool = False  # the drafts' passes; clean texts, losses and updates stay float32
    mask_rate: float = 1.0  # the rate of the mask's embedding, as a factor on that of the adapter
    shortlist: int = 4096  # tokens that the loss compares the distributions on; 0: all
    answers: AnswerOptions = field(default_factory=AnswerOptions)
    drafts: DraftOptions = field(default_factory=DraftOptions)

    def __post_init__(self) -> None:
        """Refuse what the run would ignore.

        Raises:
            ValueError: another device than the processor.
        """
        super().__post_init__()
        if self.device != "cpu":
            raise ValueError(f"{self.name}: runs on device 'cpu', got {self.device!r}")
