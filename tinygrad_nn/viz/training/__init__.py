"""A training: its losses, gradients and what was learned, as plots and as a page that renews itself."""
