"""Auto on the real engine against every fixed choice, by domain and by load."""
