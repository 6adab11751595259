"""The engines: what they have in common, which one opens a bundle, and a folder for each."""
