"""What people could use instead, on the same checkpoint, prompts and threads: each peer in a process of its own.

Importing the package imports nothing, and eager.py needs torch alone: gpu-check reads the draft adapter with it.
"""
