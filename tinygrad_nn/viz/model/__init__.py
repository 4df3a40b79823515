"""Inspection of models: their parts with shapes, and names for their parameters and values."""
