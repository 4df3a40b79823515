"""Small faults planted in the package one by one, to see whether the tests notice: `python -m tests.mutate --help`."""
