"""`make gpu-check`: parity and speed of the engines on an NVIDIA GPU; needs Python, torch and this checkout."""
