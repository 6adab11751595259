"""The engine on PyTorch: a checkpoint's own tensors, in one network that runs on an NVIDIA GPU or on the processor.

Nothing here was executed on a GPU: CUDA's streams, graphs and page-locked memory were not.
"""
