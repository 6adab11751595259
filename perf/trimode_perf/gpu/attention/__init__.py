"""Attention alone: the same question to torch's kernels and to one of this project, against the bandwidth of memory."""
