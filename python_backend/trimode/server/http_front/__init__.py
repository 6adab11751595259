"""The HTTP face's edge: connections and their limits, and bodies as their headers announce them. Knows no URL."""
