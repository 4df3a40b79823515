"""A graph as a picture: what it shows, as DOT, Mermaid or a page, drawn by Graphviz."""
