"""The face that OpenAI's clients speak to: one file for each endpoint, and in shared/ what several of them use."""
