"""Training of the draft adapter: the program and its run, its loss, the text that it learns from."""
