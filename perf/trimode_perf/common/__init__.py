"""What several measurements share: prompts, statistics, Markdown, claims."""
