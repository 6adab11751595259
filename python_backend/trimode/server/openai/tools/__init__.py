"""Functions that an answer may call: what a request says of them, what the model reads, and how calls are read."""
