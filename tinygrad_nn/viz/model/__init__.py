"""What a model is made of: its parts, their shapes and names."""
