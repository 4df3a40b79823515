"""Put `tinygrad_nn.autograd` under the name of autograd: as ``sitecustomize.py`` on the path, before any import.

It also seeds pytest's tests, when it is loaded as a plugin, as the suites' own conftest does that needs other packages.
"""

import importlib
import importlib.abc
import importlib.util
import os
import random
import sys


class Door(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``autograd.x`` as ``tinygrad_nn.autograd.x``, the very same module."""

    def find_spec(self, name, path=None, target=None):
        if name != "autograd" and not name.startswith("autograd."):
            return None
        try:
            importlib.import_module(f"tinygrad_nn.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"tinygrad_nn.{name}":
                raise
            return None
        return importlib.util.spec_from_loader(name, self, is_package=True)

    def create_module(self, spec):
        module = importlib.import_module(f"tinygrad_nn.{spec.name}")
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = module.__spec__.loader_state
        module.__loader__ = module.__spec__.loader


if os.environ.get("AUTOGRAD") == "ours" and not any(isinstance(finder, Door) for finder in sys.meta_path):
    sys.meta_path.insert(0, Door())


def pytest_runtest_setup(item):
    import numpy as np

    random.seed(42)
    np.random.seed(42)


def pytest_report_header(config):
    import autograd

    return f"autograd is {autograd.__file__}"
