"""The model as an ONNX graph: layers, rotation, heads, and the precisions of its products. Reads no tensor.

Nothing is imported here: rope.py needs no package that draws a graph.
"""
