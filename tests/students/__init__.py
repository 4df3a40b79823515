"""Work of students, right and wrong, written without a look at what judges it."""
