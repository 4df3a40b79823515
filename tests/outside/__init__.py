"""Test suites of other projects, run over this one; not part of its own. ``python -m tests.outside`` names them."""
