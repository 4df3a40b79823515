"""Display in notebooks: Tensors and other objects as HTML, pages in frames, and the cell magic ``%%explore``."""
