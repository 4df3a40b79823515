"""Drawings of networks as neurons and weighted edges."""
