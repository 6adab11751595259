"""Rows of the table of fields, and groups of its fields, a file for those that have rules of their own in common."""
