"""Turns a Hugging Face checkpoint into an engine bundle. Needs no PyTorch and never holds a whole model in memory."""

import trimode  # noqa: F401  # so that old names of this package's modules are found, for one release
