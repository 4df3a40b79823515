"""Drawings of graphs: what they show, and its output as DOT, Mermaid, JSON or HTML; Graphviz draws the DOT text."""
