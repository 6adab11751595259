"""GapContext: what stands on the two sides of one gap, in tokens, and where the tokens that fill it may begin and end.

Knows nothing of decoding or of queues.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from ..decoding.infill_state import Reading
from ..text.detokenizer import Detokenizer
from ..text.overlap import overlap
from ..text.tokenizer import BROKEN, Tokenizer

SEAM_TOKENS = 8
"""Tokens left of a gap that are tokenized again with what fills it: longer than any merge in practice."""
MAX_TAKEN_BACK = 3
"""Most tokens left of a gap that are chosen again with it."""
MOST_READINGS = 3
"""Texts that one filling may stand for, where a grammar allows several."""
LINE_ENDS = ("\n", "\r")


@dataclass(frozen=True)
class Start:
    """Where the tokens that fill a gap begin.

    Attributes:
        prompt: ids of what stands before them.
        head: the end of the left side that they begin with: text whose tokens are chosen again.
        tokens: how many tokens of the left side that was.
        heads: (A,) int64, ids that can be the first; None if any can.
    """

    prompt: list[int]
    head: str = ""
    tokens: int = 0
    heads: npt.NDArray[np.int64] | None = None


class GapContext:
    """What stands around one gap: `starts`, ways to begin after the left side, and `right`, at most a block after it.

    A left side that ends in the middle of a line ends with tokens that a tokenizer would not have chosen for the whole
    line: `the fo` followed by `x` is ` fox`. There the first start takes back the last tokens; the last start never
    does.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        left: str,
        right: str,
        *,
        block: int,
        end_id: int | None,
        capacity: int,
        marked: bool = False,
    ) -> None:
        """Tokenize both sides.

        Args:
            marked: special tokens that count as text are marked in `left` (see Tokenizer.encode).
            end_id: what follows them when the model's turn ends there, else None.
            capacity: tokens that a sequence may have.
        """
        self._tokenizer, self._capacity = tokenizer, capacity
        self._marked = marked
        prompt, offsets = tokenizer.encode_with_offsets(left, marked=marked) if left else ([], [])
        seam = max(0, len(prompt) - SEAM_TOKENS)
        while seam and offsets[seam][0] < offsets[seam - 1][1]:  # never begin inside a character
            seam -= 1
        self._seam, self._before, self._prompt = seam, left[offsets[seam][0] :] if offsets else "", prompt
        back = _taken_back(tokenizer, left, prompt, offsets)
        head = left[offsets[-back][0] :] if back else ""
        self._head = len(head)
        self.starts = [Start(prompt)]
        if back:
            heads = np.array(tokenizer.meeting(head), dtype=np.int64)
            self.starts.insert(0, Start(prompt[:-back], head, back, heads))
        near = right[: (block + 1) * tokenizer.longest]
        ids, offsets = tokenizer.encode_with_offsets(near) if near else ([], [])
        self._after = near[: offsets[block - 1][1]] if len(ids) > block else near
        self._end = () if end_id is None or len(ids) >= block else (end_id,)
        # A model's turn ends with its end token and was trained with more of them up to the block's end.
        self.right = [*ids, *self._end * (block - len(ids))][:block]

    def read(
        self,
        start: Start,
        filled: Sequence[int],
        sizes: Sequence[int] = (),
        accepts: Callable[[str], bool] | None = None,
    ) -> list[Reading]:
        """Return the texts that `filled` may stand for: as it is, and without an end that begins the right side.

        A tokenizer that writes `;` and a line's end as one token has the model put the line's end into the gap before
        it, because it was trained so; the right side then has it once more. Tokens that do not begin with what `start`
        took back stand for nothing. Of two that are not worth the same, where the gap should have one of `sizes`, only
        the better is returned.

        Args:
            accepts: whether a text may fill the gap; None where any may.
        """
        decoded = self._tokenizer.decode(filled)
        text = decoded.replace(BROKEN, "")
        if not text.startswith(start.head):
            return []
        text = text[len(start.head) :]
        texts = self._texts(text, accepts)
        worths = [self._worth(one, sizes, whole=BROKEN not in decoded) for one in texts]
        return [self._reading(one, worth) for one, worth in zip(texts, worths, strict=True) if worth == max(worths)]

    def _texts(self, text: str, accepts: Callable[[str], bool] | None) -> list[str]:
        """Return `text`, and without what it shares with the right side; some ends of it where not all may fill it."""
        shared = overlap(text, self._after)
        if accepts is None:
            return [text, *([text[:-shared]] if shared else [])]
        ends = [size for size in range(shared, 0, -1) if text.endswith(self._after[:size])]
        found = (one for one in (text, *(text[:-size] for size in ends)) if accepts(one))
        return list(islice(found, MOST_READINGS))

    def _worth(self, text: str, sizes: Sequence[int], *, whole: bool) -> int:
        """Return 2 for a text of one of `sizes`, tokenized by itself; 1 for some text that is `whole`; else 0.

        Where the size is open the likeliest wins, so all are worth the same.
        """
        if not sizes:
            return 1
        return 2 if len(self._tokenizer.encode(text)) in sizes else int(whole and text != "")

    def meet(self, start: Start, draft: Sequence[int], *, most: int) -> list[int]:
        """Return the tokens of `draft`, text that goes on from the left side, up to where it meets the right side.

        That is the first of the places where it agrees longest with the beginning of the right side; the last token may
        go beyond it. Empty if it meets nowhere, at once, or only after more than `most` tokens; where no text follows,
        the first `most` tokens.
        """
        if not self._after:
            return list(draft[:most])
        text, detokenizer = "", Detokenizer(self._tokenizer)
        ends = []  # of each token, in characters of the text
        for token in draft:
            text += detokenizer.push([token]).replace(BROKEN, "")
            ends.append(len(text))
        agreed = agreement(text[len(start.head) :], self._after)
        if not any(agreed):
            return []
        place = len(start.head) + agreed.index(max(agreed))
        count = bisect_left([0, *ends], place)
        return list(draft[:count]) if count <= most else []

    def _reading(self, text: str, worth: int) -> Reading:
        """Return `text` as it is tokenized between its sides, up to about a block after it.

        What a start took back is scored with it, so that all starts can be compared. Written again, the text
        may have more tokens than its parts; what goes beyond the capacity is lost to the score.
        """
        both = self._before + text + self._after
        ids, offsets = self._tokenizer.encode_with_offsets(both, marked=self._marked)
        known = sum(end <= len(self._before) - self._head for _, end in offsets)
        whole = [*self._prompt[: self._seam], *ids, *self._end][: self._capacity]
        return Reading(text, whole, min(self._seam + known, len(whole)), worth)


def _taken_back(tokenizer: Tokenizer, left: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> int:
    """Return how many tokens at the end of the left side may be parts of longer ones: those of its last word."""
    back = 0
    if left.endswith(LINE_ENDS):
        return back
    for count in range(1, min(MAX_TAKEN_BACK, len(ids)) + 1):
        begin = offsets[-count][0]
        inside = count < len(ids) and begin < offsets[-count - 1][1]  # of a character
        head = left[begin:]
        if ids[-count] in tokenizer.special_ids or any(char.isspace() for char in head[1:].rstrip()):
            break
        if not inside and tokenizer.extends(head):
            back = count
    return back


def agreement(text: str, after: str) -> list[int]:
    """Return, for each place in `text`, how many characters from there on `after` begins with: the Z-function."""
    both = after + text
    found, low, high = [0] * len(both), 0, 0  # both[low:high] is as both[: high - low]
    for at in range(1, len(both)):
        size = min(found[at - low], high - at) if at < high else 0
        while at + size < len(both) and both[size] == both[at + size]:
            size += 1
        if at + size > high:
            low, high = at, at + size
        found[at] = size
    return [min(size, len(after)) for size in found[len(after) :]]
