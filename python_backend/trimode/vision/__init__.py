"""From the bytes of a picture to what the vision tower reads, and to the places that it takes in a prompt."""
