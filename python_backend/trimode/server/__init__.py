"""The process in front of Triton: starts it, watches it, and guards its HTTP."""
