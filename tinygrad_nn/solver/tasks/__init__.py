"""Kinds of models as a training sees them: lists of layers, modules, functions."""
