"""The engine on NVIDIA GPUs: TensorRT."""
