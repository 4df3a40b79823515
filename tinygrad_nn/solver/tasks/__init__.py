"""The kinds of models that can be trained: lists of layers, modules, functions."""
