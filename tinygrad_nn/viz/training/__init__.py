"""Visualization of training: plots of losses, gradients and weights, recordings, and a page that updates itself."""
