"""The three operations (generate, infill, revise), each from a request's values to its jobs."""
