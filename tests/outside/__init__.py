"""Run test suites of other projects on this package; not its own tests. ``python -m tests.outside`` lists them."""
