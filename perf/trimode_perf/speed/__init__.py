"""`make perf`: how fast each mode is, and where time goes."""
