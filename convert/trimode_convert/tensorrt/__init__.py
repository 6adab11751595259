"""From a graph to a TensorRT plan: the shapes to compile for, the memory it needs, the compiler. Knows no bundle."""
