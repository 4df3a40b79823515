"""A network as neurons and weighted edges."""
