"""The models behind the fronts: each with a tritonserver of its own, found by name."""
