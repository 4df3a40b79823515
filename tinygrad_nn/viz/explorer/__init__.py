"""A page, and a GIF, that walk through a computation forward and back."""
