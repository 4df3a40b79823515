"""The kinds of models that can be trained: lists of layers, modules, functions.

Each is a `Task`, the object through which a training computes losses and gradients, and updates the parameters.
"""
