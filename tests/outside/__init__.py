"""Test suites of other projects that differentiate with autograd, run with `tinygrad_nn.autograd` under its name."""
