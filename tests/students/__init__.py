"""Right and wrong solutions as students write them, written without knowledge of the code that judges them."""
