"""Typical mistakes of beginners used to PyTorch, Keras or NumPy: the error message names the edit that fixes each."""

import re
import warnings
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Mistake:
    """A program with a mistake, the same program mended, and what a message that names the edit contains."""

    manner: str
    title: str
    code: str
    mended: str
    names: str  # a regular expression, in any case; the ways to name the edit, one of which is enough

    def __str__(self) -> str:
        return f"{self.manner}: {self.title}"


SETUP = """
import math
import numpy as np
import tinygrad_nn
from tinygrad_nn import Settings, Solver, Tensor, fit, grad, nn, optim

rng = np.random.default_rng(0)
x = rng.normal(size=(8, 3))
y = x @ np.array([[1.0], [-2.0], [0.5]])
labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
"""

LOOP = """
model = nn.Linear(3, 1, rng=0)
opt = optim.SGD(model.parameters(), lr=0.01)
for _ in range(40):
"""

PYTORCH = [
    Mistake(
        "PyTorch", "an optimizer of the model instead of its parameters",
        "model = nn.Linear(3, 1, rng=0)\nopt = optim.SGD(model, lr=0.1)",
        "model = nn.Linear(3, 1, rng=0)\nopt = optim.SGD(model.parameters(), lr=0.1)",
        r"parameters\(\)",
    ),
    Mistake(
        "PyTorch", "backward from one loss per sample",
        "model = nn.Linear(3, 1, rng=0)\nloss = (model(x) - y) ** 2\nloss.backward()",
        "model = nn.Linear(3, 1, rng=0)\nloss = ((model(x) - y) ** 2).mean()\nloss.backward()",
        r"\b(mean|sum)\b|backward\(\s*(g\b|gradient|np\.ones)",
    ),
    Mistake(
        "PyTorch", "backward twice through one graph",
        "w = Tensor(np.ones(3))\nloss = (w * w).sum()\nloss.backward()\nloss.backward()",
        "w = Tensor(np.ones(3))\nloss = (w * w).sum()\nloss.backward(retain_graph=True)\nloss.backward()",
        r"retain_graph\s*=\s*True|(compute|build|call|make)\w*.{0,30} again|recompute",
    ),
    Mistake(
        "PyTorch", "zero_grad forgotten",
        LOOP + "    nn.MSELoss()(model(x), y).backward()\n    opt.step()",
        LOOP + "    opt.zero_grad()\n    nn.MSELoss()(model(x), y).backward()\n    opt.step()",
        r"zero_grad\(\)",
    ),
    Mistake(
        "PyTorch", "a weight bound anew by its own update",
        "w = Tensor(np.zeros((3, 1)))\nfor _ in range(3):\n    loss = ((x @ w - y) ** 2).mean()\n    loss.backward()\n"
        "    w = w - 0.1 * w.grad",
        "w = Tensor(np.zeros((3, 1)))\nfor _ in range(3):\n    loss = ((x @ w - y) ** 2).mean()\n    loss.backward()\n"
        "    w = Tensor(w.data - 0.1 * w.grad)",
        r"\.data\b|detach\(\)|Tensor\(|\boptim\.|requires_grad_",
    ),
    Mistake(
        "PyTorch", "scores where the loss takes probabilities",
        "target = np.array([[0.0], [1.0]] * 4)\nscores = Tensor(8 * rng.normal(size=(8, 1)))\n"
        "nn.BCELoss()(scores, target)",
        "target = np.array([[0.0], [1.0]] * 4)\nscores = Tensor(8 * rng.normal(size=(8, 1)))\n"
        "nn.BCEWithLogitsLoss()(scores, target)",
        r"BCEWithLogits|with_logits|sigmoid",
    ),
    Mistake(
        "PyTorch", "classes counted from 1",
        "model = nn.Linear(3, 3, rng=0)\nnn.CrossEntropyLoss()(model(x), labels + 1)",
        "model = nn.Linear(3, 3, rng=0)\nnn.CrossEntropyLoss()(model(x), labels)",
        r"0\s*(to|\.\.+|…|and|through|-|–|≤.*[≤<])\s*2\b|0, 1,? (and|or)? ?2|from 0|at 0|subtract|- 1\b|minus (1|one)|"
        r"(out|n_out|features|outputs|classes|num_classes)\W+(=\s*)?4\b|4 (classes|outputs|columns|scores)",
    ),
    Mistake(
        "PyTorch", "images into a linear layer",
        "images = rng.normal(size=(4, 5, 5))\nmodel = nn.Sequential(nn.Linear(25, 2, rng=0))\nmodel(images)",
        "images = rng.normal(size=(4, 5, 5))\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(25, 2, rng=0))\n"
        "model(images)",
        r"flatten|reshape|\.view\(",
    ),
    Mistake(
        "PyTorch", "a class of modules for a module",
        "model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.ReLU, nn.Linear(4, 1, rng=1))\nmodel(x)",
        "model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.ReLU(), nn.Linear(4, 1, rng=1))\nmodel(x)",
        r"ReLU\(\)|instance|brackets|parentheses",
    ),
    Mistake(
        "PyTorch", "zero_grad between backward and step",
        LOOP + "    nn.MSELoss()(model(x), y).backward()\n    opt.zero_grad()\n    opt.step()",
        LOOP + "    opt.zero_grad()\n    nn.MSELoss()(model(x), y).backward()\n    opt.step()",
        r"zero_grad\(\).{0,60}(before|ahead|first|earlier).{0,60}backward|backward\(\).{0,60}(after|between|before).{0,60}(zero_grad|step)|"
        r"(call|run).{0,30}backward",
    ),
    Mistake(
        "PyTorch", "a model moved to the graphics card",
        "model = nn.Linear(3, 1, rng=0).to('cuda')\nmodel(x)",
        "model = nn.Linear(3, 1, rng=0)\nmodel(x)",
        r"\bcpu\b|leave (it|out|\.?to)|remove|take (it )?(out|away)|delete|drop|without",
    ),
    Mistake(
        "PyTorch", "predictions of (n, 1) beside targets of (n,)",
        "model = nn.Linear(3, 1, rng=0)\nnn.MSELoss()(model(x), y[:, 0])",
        "model = nn.Linear(3, 1, rng=0)\nnn.MSELoss()(model(x), y)",
        r"reshape|squeeze|ravel|\[:, ?None\]|\[:, ?0\]|newaxis|\.view\(|flatten",
    ),
]

KERAS = [
    Mistake(
        "Keras", "Dense",
        "layer = nn.Dense(3, 4)\nlayer(x)",
        "layer = nn.Linear(3, 4)\nlayer(x)",
        r"\bLinear\b|\bLayer\(",
    ),
    Mistake(
        "Keras", "fit as a method of the model",
        "model = nn.Sequential(nn.Linear(3, 1, rng=0))\nmodel.fit(x, y, epochs=2)",
        "model = nn.Sequential(nn.Linear(3, 1, rng=0))\n"
        "fit(model, x, y, solver=Solver('mse'), settings=Settings(epochs=2), rng=0)",
        r"\bfit\((model|net|self)|tinygrad_nn\.fit|import fit|TrainNN\(",
    ),
    Mistake(
        "Keras", "compile before fit",
        "model = nn.Sequential(nn.Linear(3, 1, rng=0))\nmodel.compile(optimizer='adam', loss='mse')",
        "model = nn.Sequential(nn.Linear(3, 1, rng=0))\nSolver(optimizer='adam', loss='mse')",
        r"\bSolver\(|\bfit\(",
    ),
    Mistake(
        "Keras", "the loss sparse_categorical_crossentropy",
        "model = nn.Sequential(nn.Linear(3, 3, rng=0))\n"
        "fit(model, x, labels, solver=Solver('sparse_categorical_crossentropy'), settings=Settings(epochs=2), rng=0)",
        "model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.softmax)\n"
        "fit(model, x, tinygrad_nn.one_hot(labels), solver=Solver('crossentropy'), settings=Settings(epochs=2), rng=0)",
        r"(?<!categorical_)\bcrossentropy\b",
    ),
    Mistake(
        "Keras", "channels last",
        "images = rng.normal(size=(2, 8, 8, 3))\nnn.Conv2d(3, 4, 3, rng=0)(images)",
        "images = rng.normal(size=(2, 8, 8, 3)).transpose(0, 3, 1, 2)\nnn.Conv2d(3, 4, 3, rng=0)(images)",
        r"transpose|moveaxis|permute|channels? (first|before|second|in axis 1|on axis 1)",
    ),
    Mistake(
        "Keras", "a dropout of 50 %",
        "nn.Dropout(50)",
        "nn.Dropout(0.5)",
        r"0\.5\b|/ ?100|between 0 and 1|(from|in) 0 (to|up to|and) 1|0 (≤|<=) ?p ?(<|≤|<=) ?1|\[0, 1[\])]|fraction",
    ),
    Mistake(
        "Keras", "epochs and batch_size among the arguments of fit",
        "model = nn.Sequential(nn.Linear(3, 1, rng=0))\nfit(model, x, y, epochs=2, batch_size=4)",
        "model = nn.Sequential(nn.Linear(3, 1, rng=0))\n"
        "fit(model, x, y, solver=Solver('mse'), settings=Settings(epochs=2, batch_size=4), rng=0)",
        r"Settings\(",
    ),
    Mistake(
        "Keras", "a loss of (truth, prediction)",
        "model = nn.Linear(3, 3, rng=0)\nnn.CrossEntropyLoss()(labels, model(x))",
        "model = nn.Linear(3, 3, rng=0)\nnn.CrossEntropyLoss()(model(x), labels)",
        r"\bfirst\b|\border\b|swap|exchange|other way|before",
    ),
]

NUMPY = [
    Mistake(
        "NumPy", "writing into a Tensor",
        "t = Tensor(np.ones(3)) * 2\nt[0] = 5.0",
        "t = Tensor(np.ones(3)) * 2\nt = t.at[0].set(5.0)",
        r"\.at\[.*\]\.set|np\.where",
    ),
    Mistake(
        "NumPy", "an array of a Tensor by asarray",
        "t = Tensor(np.ones(3))\na = np.asarray(t)",
        "t = Tensor(np.ones(3))\na = t.data",
        r"\.data\b|detach\(\)|\.numpy\(\)",
    ),
    Mistake(
        "NumPy", "an array of Tensors by np.array",
        "a, b = Tensor(1.0), Tensor(2.0)\nnp.array([a, b]).sum()",
        "a, b = Tensor(1.0), Tensor(2.0)\nnp.stack([a, b]).sum()",
        r"np\.stack|tinygrad_nn\.array|tg\.array|np\.concatenate",
    ),
    Mistake(
        "NumPy", "math.exp of a Tensor",
        "t = Tensor(1.0)\nmath.exp(t)",
        "t = Tensor(1.0)\nnp.exp(t)",
        r"\bnp\.(exp|\w+|…)|numpy's (exp|function)|NumPy's",
    ),
    Mistake(
        "NumPy", "an array that is added to in place",
        "total = np.zeros(3)\ntotal += Tensor(np.ones(3))",
        "total = np.zeros(3)\ntotal = total + Tensor(np.ones(3))",
        r"= \w+ \+ |total \+|without (the )?out|not in place|a = a \+|\w+ = \w+ [+*-]",
    ),
    Mistake(
        "NumPy", "filling an array with Tensors",
        "t = Tensor(np.ones(3))\nrows = np.zeros((2, 3))\nrows[0] = t\nrows[1] = 2 * t",
        "t = Tensor(np.ones(3))\nrows = np.stack([t, 2 * t])",
        r"np\.stack|np\.concatenate|tinygrad_nn\.array|\.at\[",
    ),
    Mistake(
        "NumPy", "an if on all entries",
        "t = Tensor(np.array([-1.0, 2.0]))\nif t > 0:\n    t = 2 * t",
        "t = Tensor(np.array([-1.0, 2.0]))\nt = np.where(t > 0, 2 * t, t)",
        r"np\.where|\.?\b(any|all)\(",
    ),
    Mistake(
        "NumPy", "integers that should have a gradient",
        "t = Tensor([1, 2, 3], requires_grad=True)\n(t * t).sum().backward()",
        "t = Tensor([1.0, 2.0, 3.0], requires_grad=True)\n(t * t).sum().backward()",
        r"\bfloat|1\.0|astype",
    ),
    Mistake(
        "NumPy", "a product with weights that are (n_out, n_in)",
        "W = Tensor(rng.normal(size=(4, 3)))\nx @ W",
        "W = Tensor(rng.normal(size=(4, 3)))\nx @ W.T",
        r"\.T\b|transpos",
    ),
    Mistake(
        "NumPy", "grad of a function of many values",
        "grad(lambda t: np.sin(t))(np.array([1.0, 2.0]))",
        "grad(lambda t: np.sin(t).sum())(np.array([1.0, 2.0]))",
        r"\b(sum|mean)\b|jacobian|elementwise_grad",
    ),
]

MISTAKES = PYTORCH + KERAS + NUMPY


def said(code: str) -> str:
    """What the program is told: its warnings, its error, and the notes that the error carries."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            exec(compile(SETUP + code, "<mistake>", "exec"), {})
            texts = []
        except Exception as error:
            texts = [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]
    return "\n".join([*(str(w.message) for w in seen), *texts])


def named(mistake: Mistake) -> bool:
    """Whether what is said about the program names the edit that mends it."""
    return re.search(mistake.names, said(mistake.code), re.IGNORECASE | re.DOTALL) is not None


def test_there_are_thirty():
    assert len(MISTAKES) == 30


AT_LEAST = 28  # of thirty


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_the_edit_mends_the_mistake(mistake):
    assert not said(mistake.mended)


def test_most_error_messages_name_the_edit():
    unnamed = [str(mistake) for mistake in MISTAKES if not named(mistake)]
    assert len(MISTAKES) - len(unnamed) >= AT_LEAST, unnamed
