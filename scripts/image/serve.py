"""What a built image is for, in its root: nano is built through the entry point, served, found healthy, and asked."""

from __future__ import annotations

import json
import shlex
import shutil
import tomllib
from pathlib import Path

from .build import PipSettings, words_of
from .dockerfile import Stage
from .space import Space, StepError

MODEL = "nano"
QUESTION = {"messages": [{"role": "user", "content": "What is 17 + 25?"}], "mode": "diffusion"}
ANSWER = "Answer: 42"
BUNDLE = "/bundle"
STAND_IN = '#!/bin/sh\nexec "$@"\n'
"""NVIDIA's entry point on a machine without a GPU, as far as it matters: it executes what it is given."""
ASK = """import json, sys, urllib.request
url = "http://127.0.0.1:8000/v2/models/nemotron_diffusion/generate"
request = urllib.request.Request(url, data=sys.argv[1].encode())
print("answer:", json.dumps(json.load(urllib.request.urlopen(request, timeout=600))["text_output"]))"""
SERVE = """{server} & server=$!
until {healthy} 2>/dev/null; do kill -0 $server || exit 3; sleep 1; done
python3 -c {ask} {question}
kill -s {signal} $server
wait $server"""
"""What runs in the root: the server, until it is healthy; one request; its end by the image's own signal."""


def prepare(root: Path, entry_point: str) -> None:
    """Put what stands in for NVIDIA's entry point into a root."""
    place = root / entry_point.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(STAND_IN, encoding="utf-8")
    place.chmod(0o755)


def add_triton(space: Space, context: Path) -> None:
    """Install the Triton of the Python wheel, which stands in for the image's.

    Raises:
        StepError: pip cannot.
    """
    groups = tomllib.loads((context / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    (wheel,) = groups["tritonserver"]
    pip = PipSettings.of_this_machine()
    command = f"/usr/bin/python3 -m pip --python /opt/trimode/bin/python install --no-cache-dir --no-deps {wheel}"
    user, space.user = space.user, "0"
    space.run(command, pip.variables, pip.binds, network=True)
    space.user = user


def build_and_ask(space: Space, stage: Stage, context: Path) -> str:
    """Build nano's bundle as the image's user and ask its server once; return the answer. Neither has a network.

    Raises:
        StepError: one of them failed, or the answer is wrong.
    """
    shutil.copytree(context / "checkpoints" / MODEL, space.place(f"checkpoints/{MODEL}"), dirs_exist_ok=True)
    bundle = space.place(BUNDLE)
    bundle.mkdir()
    bundle.chmod(0o777)
    entry = words_of(stage, "ENTRYPOINT")
    convert = [entry[0], "python3", "-m", "trimode_convert.recipe", MODEL, "--out", f"{BUNDLE}/{MODEL}"]
    space.run(shlex.join(convert), {}, network=False)
    command = SERVE.format(
        server=shlex.join([*entry, "--bundle", f"{BUNDLE}/{MODEL}"]),
        healthy=shlex.join(words_of(stage, "HEALTHCHECK")),
        ask=shlex.quote(ASK),
        question=shlex.quote(json.dumps(QUESTION)),
        signal=stage.of("STOPSIGNAL")[0].removeprefix("SIG"),
    )
    said = space.run(f"{{ {command}\n}}", {}, network=False)
    lines = [line.removeprefix("answer: ") for line in said.splitlines() if line.startswith("answer: ")]
    if len(lines) != 1 or ANSWER not in json.loads(lines[0]):
        raise StepError(f"the answer lacks {ANSWER!r}:\n{said[-4000:]}")
    return str(json.loads(lines[0]))
