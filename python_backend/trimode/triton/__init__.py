"""The Triton face of the runtime: tensors, the model, its metrics."""
