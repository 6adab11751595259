"""What several measurements share: prompts, asking, progress, statistics, claims, Markdown, published figures."""
