"""How the model's process ends when it has lost its GPU: at once, so that whoever watches it starts another.

Knows processes and the log, nothing of requests or engines.
"""

from __future__ import annotations

import logging
import os
import sys

from ..errors import DeviceLostError

STATUS = 70  # EX_SOFTWARE of sysexits.h

logger = logging.getLogger(__name__)


def end_process(cause: DeviceLostError) -> None:
    """End this process without another call to CUDA, which may hang; the log says why."""
    logger.critical("the GPU is lost, so process %d ends and another must take its place: %s", os.getpid(), cause)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(STATUS)
