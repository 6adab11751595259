"""A peer's process as the driver sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from trimode_perf.common import PERF
from trimode_perf.peers.peer import PeerError, Process

ECHO = """
import json, sys
print(json.dumps({"about": "echo"}), flush=True)
for line in sys.stdin:
    print(line.strip() if json.loads(line) else "nothing", flush=True)
"""


@pytest.mark.subprocess
def test_a_line_that_is_no_json_is_an_error() -> None:
    worker = Process([sys.executable, "-I", "-c", ECHO])
    try:
        assert worker.hello == {"about": "echo"}
        assert worker.ask({"a": 1}, 5.0) == {"a": 1}
        with pytest.raises(PeerError, match="did not answer with JSON: 'nothing"):
            worker.ask({}, 5.0)
    finally:
        worker.close()


def test_the_driver_needs_none_of_the_peers_libraries() -> None:
    code = "import sys, trimode_perf.peers; print(json.dumps(sorted(sys.modules)))"
    told = subprocess.run(
        [sys.executable, "-c", f"import json; {code}"], env={**os.environ, "PYTHONPATH": str(PERF)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {"torch", "transformers", "openvino", "onnxruntime"} & set(json.loads(told.stdout))
