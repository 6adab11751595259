"""Write client/trimode_client/knobs.py: the typed keywords of the client, each with its docstring, from the table.

The table is trimode.api.fields.FIELDS. `--check` writes nothing and fails if the file is not what would be written.
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import wrap

from trimode.api.fields import FIELDS, PROMPT_FIELDS, Field
from trimode.api.rows.images import IMAGE_FIELDS

FILE = Path(__file__).parents[1] / "client" / "trimode_client" / "knobs.py"
ALWAYS_RETURNED = (
    "return_finish_reason",
    "return_num_input_tokens",
    "return_num_output_tokens",
    "return_perf_metrics",
    "return_token_ids",
    "return_effective_params",
)
"""Outputs that the client asks for with every request, because a Completion holds them."""
NO_KNOBS = (*PROMPT_FIELDS, *ALWAYS_RETURNED, *IMAGE_FIELDS, "suffix", "stream", "min_length")
"""Fields that follow from the method that is called and from its arguments, and a second name of one."""
IMAGES = '''    images: Sequence[Image]
    """Pictures, each a path, a URL, bytes or a picture of Pillow: they stand before the text, or before what the last
    message of the user says. Default: none."""

'''
OF_IMAGES = ("max_image_size",)
"""Fields of pictures, beside the pictures themselves."""
TYPES = {
    "string": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "strings": "Sequence[str]",
    "ints": "Sequence[int]",
}
CLOSED = {
    "mode": "Mode | ModeName",
    "auto_allow": "Sequence[AllowedMode]",
    "accept": "AcceptRule",
    "log_probs_kind": "LogProbsKind",
    "spans": "Sequence[Sequence[int]]",
    "logit_bias": "Mapping[int, float] | Mapping[str, float]",
}
"""Types that the kind of a field does not say: closed sets of names, and what a JSON text holds."""
WIDTH = 120 - len('    """."""')
HEAD = '''"""Knobs: the keywords of the client's methods. scripts/render_knobs.py writes this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from trimode.api.fields import AcceptRule, AllowedMode, LogProbsKind, Mode, ModeName

from .images import Image

'''


def rendered() -> str:
    """Return the text of the file."""
    always = "".join(f'    "{name}",\n' for name in ALWAYS_RETURNED)
    knobs = [field for field in FIELDS if field.name not in NO_KNOBS]
    return (
        HEAD
        + f"ALWAYS_RETURNED = (\n{always})\n"
        + '"""What the client asks for with every request, because a Completion holds it."""\n\n\n'
        + "class ImageKnobs(TypedDict, total=False):\n"
        + '    """The knobs of pictures."""\n\n'
        + IMAGES
        + "\n".join(attribute(field) for field in knobs if field.name in OF_IMAGES)
        + "\n\nclass Knobs(ImageKnobs, total=False):\n"
        + '    """Every knob of a request. One that is left out, or None, takes the server\'s default."""\n\n'
        + "\n".join(attribute(field) for field in knobs if field.name not in OF_IMAGES)
        + '\n\nKNOBS = tuple(name for name in Knobs.__annotations__ if name != "images")\n'
        + '"""The knobs that are fields of a request."""\n'
    )


def attribute(field: Field) -> str:
    """Return one key of the class: its type, and its docstring of help, range and default."""
    kind = CLOSED.get(field.name) or TYPES[field.kind]
    said = [field.help.rstrip(".") + "."]
    if field.low is not None and field.high is not None:
        said.append(f"From {field.low:g} to {limit(field.high)}.")
    if field.default:
        said.append(f"Default: {field.default}.")
    text = "\n    ".join(wrap(" ".join(said), WIDTH))
    return f'    {field.name}: {kind}\n    """{text}"""\n'


def limit(value: float) -> str:
    """Return an upper limit as people write it; the largest numbers of a type by their power of two."""
    power = int(value) + 1
    return f"2**{power.bit_length() - 1} - 1" if value > 10**6 and power & (power - 1) == 0 else f"{value:g}"


def main() -> int:
    """Write the file, or compare it with --check; returns the exit status."""
    if "--check" not in sys.argv[1:]:
        FILE.write_text(rendered(), encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != rendered():
        print(f"{FILE} is out of date: run .venv/bin/python scripts/render_knobs.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
