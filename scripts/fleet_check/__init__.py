"""What a fleet does under load, as data."""
