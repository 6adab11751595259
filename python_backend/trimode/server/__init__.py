"""The process in front of Triton: starts it, replaces it when it fails, and guards its HTTP and gRPC.

Knows Triton from outside only; nothing of the runtime, which runs inside Triton.
"""
