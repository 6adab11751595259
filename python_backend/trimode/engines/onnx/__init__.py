"""The engine on the CPU: ONNX Runtime."""
