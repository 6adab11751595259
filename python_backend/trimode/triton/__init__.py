"""The Triton face of the runtime: the model that Triton calls, its requests, arrays and metrics.

Knows Triton's Python API; nothing of how an answer is made.
"""
