"""What a notebook shows: objects as pictures, pages in frames, a computation that failed, and the magic of a cell."""
