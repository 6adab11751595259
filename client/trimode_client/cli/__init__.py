"""The command line: one file for each command; main.py is the entry."""
