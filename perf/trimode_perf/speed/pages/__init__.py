"""What pages of docs/ repeat of the results, and how it is written between their marks."""
