"""The process in front of Triton: starts it, replaces it when it is ill, and guards its HTTP.

Knows Triton from outside only; nothing of the runtime, which runs inside Triton.
"""
