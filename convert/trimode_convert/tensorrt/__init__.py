"""Compiling for NVIDIA GPUs: profiles, memory, the compiler."""
