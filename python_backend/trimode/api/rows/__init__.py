"""Rows of the table of fields, a file for those that have rules of their own in common."""
