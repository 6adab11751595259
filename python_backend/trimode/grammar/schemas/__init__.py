"""What a caller may ask for: JSON schemas, their limits and counts, and words in which JSON of a form stands."""
