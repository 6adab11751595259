"""Nemotron-Labs-Diffusion on Triton. Imports nothing but the shim for old module names, which is names only."""

from .moved import install

__version__ = "0.1.0"
"""The version of all packages of this project; pyproject.toml reads it from here."""

install()
