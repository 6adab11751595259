"""What the image brings of others: a CycloneDX list, and the notices with every licence's text."""
