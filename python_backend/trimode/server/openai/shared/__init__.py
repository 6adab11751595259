"""What several endpoints use: the table of fields, names of models, errors, work, and the shapes of answers."""
