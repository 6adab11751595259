"""The playground: a page, served with the API, on which one sees a block being denoised. Its files lie in static/."""
