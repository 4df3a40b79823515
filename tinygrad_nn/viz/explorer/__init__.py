"""The explorer: an HTML page or an animated GIF that steps through a computation, forward and backward."""
