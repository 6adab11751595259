"""From the bytes of a picture to what the tower reads, to rows for the language model, and to places in a prompt."""
