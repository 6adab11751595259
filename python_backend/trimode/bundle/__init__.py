"""The engine bundle on disk: its files, its manifest, and what a compiled plan was made for."""
