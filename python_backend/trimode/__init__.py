"""Nemotron-Labs-Diffusion on Triton. Imports nothing but the shim for old module names, which is names only."""

from .moved import install

install()
