"""Writes docs/reference/ from the tables in the code: fields, outputs, metrics, settings, errors and command lines."""

import os

# Rules that someone added to their own server are no part of the documentation; api/fields.py reads this when imported.
os.environ.pop("TRIMODE_REVEAL_RULES", None)
