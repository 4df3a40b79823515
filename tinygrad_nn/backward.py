"""Reverse mode: `backward` and the walk from a result back through its Nodes that runs each primitive's VJP rules.

Each Node is visited once, youngest first. A result is always younger than its arguments, so when a Node's turn comes,
the gradients from everything it went into have been added up.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush, heapreplace
from operator import attrgetter
from threading import Lock
from typing import Any

import numpy as np

from .common.call_site import calling_line
from .common.forks import renewed_after_fork
from .common.masked import unmasked
from .common.printable import printable
from .degenerate import rules_at_ties
from .leaves import WRITTEN, add_gradient, holders, root_array
from .node import FREED, Node, switched, thread
from .primitive import NO_METADATA, Primitive, Ties, sum_to
from .tensor import Tensor, raw, wrap

LONG = 1024  # Nodes this much older than the root are reused; small graphs are no burden on the garbage collector
DOUBLE = np.dtype(float)  # the dtype of most gradients; one object, so `is` compares it
READS_NO_VALUES = frozenset({"add", "subtract", "concatenate", "stack"})  # operations whose rules use shapes only
OVERWRITTEN = (
    "{name} has an argument that was written into after that, as a constant Tensor or by way of t.detach(), so the "
    "values that its gradient needs are lost. Call backward() before it changes, or write t = t.clone() before "
    "t[index] = value."
)
_by_age = attrgetter("index")
for _part in vars(Primitive).values():
    if hasattr(_part, "lock"):  # before Python 3.12, a cached_property has a lock, which a forked child must renew
        renewed_after_fork(_part.lock)
_accumulating = renewed_after_fork(Lock())  # threads that share leaves add to their gradients one at a time

# The memory allocator of Linux returns the arrays that a training step frees to the system, so the next step pays a
# page fault for each page it touches: over half of its time with arrays of a few 100 kB. Allocating and freeing one
# array of 32 MB, the largest size that raises the allocator's thresholds, makes it keep up to twice that much.
np.empty(2**25 - 2**16, np.uint8)


def ancestors(roots: Iterable[Node], oldest: int = -1) -> list[Node]:
    """Return the roots and all Nodes that they were computed from, youngest first.

    Each Node appears once, however many paths lead to it. Nodes older than `oldest` are left out.

    Raises:
        RuntimeError: part of the graph was freed.
    """
    stack = list(roots)
    seen = set(stack)
    add, push = seen.add, stack.append
    while stack:
        node = stack.pop()
        parents = (node.p, node.q) if node.arity else node.p
        if parents is None:
            raise RuntimeError(FREED)
        for parent in parents:
            if parent is not None and parent not in seen and parent.index >= oldest:
                add(parent)
                if parent.primitive is not None:
                    push(parent)
    return sorted(seen, key=_by_age, reverse=True)


def walk(
    root: Node,
    seed: Any,
    *,
    wanted: frozenset[Node] | None = None,
    differentiable: bool = False,
    free: bool = False,
    keep: Callable[[Node, Any], None] | None = None,
) -> dict[Node, Any]:
    """Propagate a cotangent back from a Node and return the gradient of each leaf, or of each wanted Node.

    For complex inputs, the gradient of a real L is ∂L/∂Re + i ∂L/∂Im, as in PyTorch. The walk carries the conjugate
    of that, so that the rules of holomorphic functions need no conjugation.

    Args:
        root: the Node to start from.
        seed: the cotangent of its result: an ndarray, or a Tensor if `differentiable`.
        wanted: stop at these Nodes and return their gradients; by default at the leaves.
        differentiable: run the rules on Tensors, so that the gradients have a graph of their own.
        free: drop each operation's arguments once its rules have run.
        keep: called with each operation's Node and its complete cotangent.

    Returns:
        A dict Node -> gradient; Nodes that no gradient reached are missing.
    """
    oldest = min([node.index for node in wanted]) if wanted else 0
    if WRITTEN:
        _require_unwritten(root, oldest)
    pending: dict[Node, Any] = {root: conj(seed)}
    wanted_gradients: dict[Node, Any] = {}
    again = free and Ties.met and any(node.primitive and node.primitive.ties for node in ancestors((root,)))
    spent: list[Node] = []  # freed at the end only: at equal values a factorisation reruns the operations after it
    spare, far = thread.mode.spare, root.index - LONG
    # Nodes whose pending gradient was made here, so += may write into an array; for the values see `_add_part`.
    summed: dict[Node | None, bool | None] = {}
    # A heap, youngest Node first: all children of a Node are younger, so its cotangent is complete when its turn comes.
    queue: list[tuple[int, Node]] = []
    ahead = None if root.primitive is None else root  # one Node waits outside the heap, which is then often empty
    while ahead is not None or queue:
        if queue and (ahead is None or queue[0][0] < -ahead.index):
            node = heappop(queue)[1] if ahead is None else heapreplace(queue, (-ahead.index, ahead))[1]
        else:
            node = ahead  # type: ignore[assignment]
        ahead = None
        g = pending.pop(node)
        notes = node.notes
        inspected = False
        if notes is not None:
            g = _check_and_run_hooks(node, g, differentiable)
            inspected = "where" in notes
        if wanted is not None and node in wanted:
            wanted_gradients[node] = conj(g)
            continue
        if keep is not None:
            keep(node, conj(g))
        primitive: Primitive = node.primitive  # type: ignore[assignment]
        out, meta = node.out, node.meta
        if differentiable:
            parents = node.parents
            if parents is None:
                raise RuntimeError(FREED)
            args, out, meta = lift(node)
            given = (g, out, *args)
        elif (arity := node.arity) == 2:
            given, parents = (g, out, node.x, node.y), (node.p, node.q)
        elif arity == 1:
            given, parents = (g, out, node.x), (node.p,)
        elif (parents := node.p) is None:
            raise RuntimeError(FREED)
        else:
            given = (g, out, *node.x)
        jointly = primitive.jointly
        rules: Any = primitive.vjps if jointly is None else jointly(*given, **meta)
        if primitive.special:
            if primitive.ties is not None:
                rules = rules_at_ties(walk, ancestors, node, root, seed, given)
            elif not (differentiable or inspected) and _add_part(node, parents[0], given, pending, summed):
                parents = ()
        slot = 1
        for parent in parents:
            slot += 1
            if parent is None or parent.index < oldest:
                continue
            r, arg = rules[slot - 2], given[slot]
            if r is None:
                r = np.zeros_like(raw(arg))
            elif jointly is None:
                r = r(*given, **meta) if meta else r(*given)
            if differentiable and not isinstance(r, Tensor):
                r = wrap(r, None)  # a constant Tensor, since the rules of older Nodes may call a Tensor's methods
            if r.shape != arg.shape:
                r = sum_to(r, arg.shape, primitive)
            if r.dtype is not arg.dtype:
                r = cast(r, arg.dtype)
            if inspected:
                _inspect_gradient(node, slot - 2, g, r)
            if parent not in pending:
                pending[parent] = r
                if parent.primitive is not None:
                    if ahead is None:
                        ahead = parent
                    else:
                        heappush(queue, (-parent.index, parent))
            elif parent in summed:
                pending[parent] += r
            else:
                pending[parent] = pending[parent] + r
                summed[parent] = None
        if again:
            spent.append(node)
        elif free:
            node.arity, node.meta = 0, NO_METADATA
            node.x = node.y = node.p = node.q = node.out = None
            if node.index < far and holders(node) == 2 and node.__weakref__ is notes is None and type(node) is Node:
                node.primitive = None  # a user's primitive may hold arrays, so do not keep it alive
                spare.append(node)
    for node in spent:
        node.link(None, None)
        node.out, node.meta = None, NO_METADATA
    for leaf, g in pending.items():
        if leaf.notes is not None and "hooks" in leaf.notes:
            g = pending[leaf] = _check_and_run_hooks(leaf, g, differentiable)
        if (dtype := g.dtype) is not DOUBLE and dtype.kind == "c":
            pending[leaf] = g.conj()
    return {**wanted_gradients, **pending} if wanted_gradients else pending


def _require_unwritten(root: Node, oldest: int) -> None:
    """Raise if an argument that a rule reads was written into after the operation that used it."""
    last = max([index for _, index in [*WRITTEN.values()]], default=0)
    for node in ancestors((root,), oldest):
        if (primitive := node.primitive) is None or node.index > last or primitive.name in READS_NO_VALUES:
            continue
        options = [part for x in node.meta.values() for part in (x if type(x) is tuple else (x,))]
        for array in (*node.args, *options):  # type: ignore[misc]
            found = WRITTEN.get(id(root_array(array))) if type(array) is np.ndarray else None
            if found is not None and found[1] > node.index:
                raise RuntimeError(OVERWRITTEN.format(name=primitive.name))


def _add_part(
    node: Node, parent: Node | None, rule_args: Any, pending: dict[Node, Any], summed: dict[Node | None, bool | None]
) -> bool:
    """Add the gradient of x in x[index] to the sum pending for x, in place, and tell whether that was done.

    The rule makes an array of zeros as large as x, so a loop over the rows of x would take a time quadratic in their
    number. Adding zeros changes one thing only: -0.0 + 0.0 is 0.0. So a sum with a -0.0 goes on with the rule. `summed`
    says whether it has none, ``None`` before it was looked at; a sum without it never gets one.
    """
    if parent not in summed:
        return False
    total, (g, out, _, *others) = pending[parent], rule_args  # type: ignore[index]
    if summed[parent] is None:
        summed[parent] = _lacks_negative_zero(total)
    adds: Any = node.primitive.adds  # type: ignore[union-attr]
    return bool(summed[parent]) and adds(g, out, total, *others, **node.meta) is not None


def _lacks_negative_zero(x: Any) -> bool:
    """Tell whether no entry of a C-contiguous array is -0.0, whose only bit that is set is the sign."""
    if type(x) is not np.ndarray or x.ndim == 0 or not x.flags.c_contiguous or x.dtype.char not in "efdFD":
        return False
    bits = x.view(f"i{x.real.itemsize}")
    return not (bits == np.iinfo(bits.dtype).min).any()


def lift(node: Node) -> tuple[Any, Any, dict[str, Any]]:
    """Return a Node's arguments, result and metadata as Tensors, linked to the graph if operations are recorded.

    Constant arrays become Tensors too: a rule may write x.dot(g), and ndarray.dot could not take the Tensor g.
    """
    linked = thread.mode.grad
    args = [
        wrap(arg, p if linked else None) if p is not None or type(arg) is np.ndarray else arg
        for arg, p in zip(node.args, node.parents, strict=True)  # type: ignore[arg-type]
    ]
    primitive: Primitive = node.primitive  # type: ignore[assignment]
    meta = node.meta
    if primitive.saves:
        call_meta = primitive.call_meta(meta)
        kept = {key: meta[key] for key in primitive.saves if isinstance(meta[key], Tensor)}  # happens in a trace only
        again = {key: make(*args, **call_meta) for key, make in primitive.saves.items() if key not in kept}
        meta = {**call_meta, **kept, **again}
    return args, wrap(node.out, node if linked else None), meta


def conj(g: Any) -> Any:
    """Return the conjugate of a complex gradient; a real gradient is returned unchanged."""
    return g.conj() if (dtype := g.dtype) is not DOUBLE and dtype.kind == "c" else g


def cast(r: Any, dtype: np.dtype[Any]) -> Any:
    """Convert a gradient to the dtype of its argument; a real argument takes the real part of a complex gradient."""
    if r.dtype == dtype:
        return r
    if r.dtype.kind == "c" and dtype.kind != "c":
        r = r.real
    return r.astype(dtype)


def _check_and_run_hooks(node: Node, g: Any, differentiable: bool) -> Any:
    """Check that a Node's arrays were not written into since the forward; run its hooks; return the gradient."""
    notes: dict[str, Any] = node.notes  # type: ignore[assignment]
    if "checksum" in notes and node.args is not None and notes["checksum"] != _checksum(node):
        raise RuntimeError(
            f"an array that {_describe(node)} read or made was written into between forward and backward, so its "
            "gradient would be wrong. Make a new array instead of writing into it, or copy it first."
        )
    for hook in list(notes.get("hooks", ())):
        shown = conj(g)
        given = hook(shown if differentiable else np.asarray(shown))
        if given is not None:
            shape = np.shape(node.out)
            if np.shape(given) != shape:
                raise ValueError(f"a hook returned a gradient of shape {np.shape(given)} in place of one of {shape}.")
            own = isinstance(given, Tensor) and differentiable
            g = conj(given if own else np.array(raw(given), dtype=np.asarray(node.out).dtype))
    return g


def backward(
    self: Tensor, gradient: Any = None, *, retain_graph: bool = False, retain_grads: bool = False,
    create_graph: bool = False,
) -> None:  # fmt: skip
    r"""Add the gradient of this Tensor with respect to every leaf it was computed from to the leaf's ``grad``.

    .. math:: \bar x \mathrel{+}= \left(\partial out / \partial x\right)^T \overline{out}

    Args:
        gradient: the cotangent, of this Tensor's shape; it may be left out for a single number, and is then 1.
        retain_graph: keep the graph, so that it can be walked or drawn again; otherwise it is freed.
        create_graph: raises if true. It is PyTorch's way to differentiate gradients again; here, nest `grad`.
        retain_grads: also leave the gradient of every intermediate Tensor in its ``grad``.

    Raises:
        RuntimeError: this Tensor does not require gradients, or the graph was freed.
        ValueError: the gradient has the wrong shape, or is missing for a Tensor of several entries.
        NotImplementedError: `create_graph` is true.

    Example:
        >>> x = Tensor([1.0, 2.0]); y = x * x
        >>> y.backward([1.0, 10.0]); print(x.grad)
        [ 2. 40.]
    """
    if self.node is None:
        raise RuntimeError(
            f"backward() on a constant: {self!r:.80} was not computed from any Tensor that requires gradients. "
            "Integers, detached Tensors and results under no_grad() are constants; a leaf is Tensor([1.0]), of floats. "
            "Under no_grad() w -= lr * w.grad keeps w a parameter, but w = w - lr * w.grad makes it a constant."
        )
    if create_graph:
        raise NotImplementedError(
            "backward(create_graph=True): t.grad is an array, without a graph. Derivatives of derivatives are "
            "grad(grad(f)) and hessian(f), or tinygrad_nn.pytorch.autograd.grad(loss, parameters, create_graph=True)."
        )
    seed = _seed(self, gradient)
    retained: dict[Node, Any] = {}
    keep = retained.__setitem__ if retain_grads else None
    gradients = walk(self.node, seed, free=not retain_graph, keep=keep)
    with _accumulating:
        for node, g in _copy_shared({**retained, **gradients} if retained else gradients, seed).items():
            node.grad = g if node.grad is None or node in retained else add_gradient(node, g)


class Handle:
    """Removes a hook: call it or its `remove`, or use it as a context manager that removes the hook at the end."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        """Remove the hook, if it is still there."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)

    __call__ = remove

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_hook(self: Tensor, hook: Callable[[Any], Any]) -> Handle:
    """Call ``hook(gradient)`` when this Tensor's gradient is complete; a returned array replaces the gradient.

    Args:
        hook: takes an ndarray of this Tensor's shape (a Tensor when the gradient is itself being differentiated).

    Returns:
        A `Handle`; its ``remove()`` removes the hook.

    Raises:
        TypeError: the hook is not a function.
        ValueError: the Tensor is a constant.
    """
    if not callable(hook):
        what = f"{hook!r:.60} of type {type(hook).__name__}"
        raise TypeError(f"register_hook takes a function of the gradient; it got {what}.")
    if self.node is None:
        raise ValueError("no gradient reaches a constant Tensor; a hook on it would never run.")
    hooks = (self.node.notes or {}).get("hooks", [])
    self.node.note(hooks=hooks)
    hooks.append(hook)
    return Handle(hooks, hook)


def _seed(result: Tensor, gradient: Any) -> np.ndarray[Any, Any]:
    """Return the cotangent that `backward` starts from, in the dtype of the result."""
    data = result.data
    if gradient is None:
        if data.size != 1:
            raise ValueError(
                f"backward() of a Tensor of shape {result.shape} needs a gradient of that shape: which combination of "
                "its entries is to be differentiated? For their sum write t.sum().backward()."
            )
        return np.array(1, data.dtype) if data.ndim == 0 else np.ones_like(data)  # ones_like is several times slower
    seed = np.asarray(unmasked(raw(gradient)), dtype=data.dtype)
    if seed.shape != data.shape:
        raise ValueError(f"the gradient has shape {seed.shape}; the Tensor has shape {result.shape}.")
    return seed


def _copy_shared(gradients: dict[Node, Any], seed: Any) -> dict[Node, Any]:
    """Copy the gradients that may share memory with each other or with other arrays; return the same dict."""
    lent = {id(seed)}
    for node, g in gradients.items():
        if type(g) is not np.ndarray or g.base is not None or id(g) in lent:
            gradients[node] = g = np.array(g)
        lent.add(id(g))
    return gradients


# -- Anomaly detection


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Raise at the operation that produces a NaN or an infinity, and if an array changes between forward and backward.

    Inside this block, in this thread, each operation remembers the line that called it. Its result and the gradients
    of its rules are checked, so everything takes several times as long.

    Raises:
        FloatingPointError: an operation or a rule made NaN or infinity from finite numbers, or a constant holds NaN;
            the message names the operation, its line and its arguments.
        RuntimeError: (from `backward`) an argument or a result changed since the forward.

    Example:
        >>> with detect_anomaly():
        ...     np.log(Tensor([1.0, 0.0]))
        Traceback (most recent call last):
            ...
        FloatingPointError: log made -inf of finite numbers at entry (1,), ...
    """
    quiet = dict.fromkeys(np.geterr(), "ignore")  # the report says more than NumPy's warning
    with switched("inspect", _inspect), switched("errors", quiet):
        yield


def _inspect(node: Node, tensor: Tensor) -> Tensor:
    # Note the calling line and a checksum on a new Node; raise if its result is the first that is not finite.
    node.note(where=calling_line("<frozen"), checksum=_checksum(node))
    bad = _non_finite_text(node.out)
    if bad is None:
        return tensor
    for slot, (arg, parent) in enumerate(zip(node.args, node.parents, strict=True)):  # type: ignore[arg-type]
        if _non_finite_text(arg) is not None:
            if parent is None and np.isnan(arg).any():
                raise FloatingPointError(f"the constant in argument {slot} of {_describe(node)} holds NaN.")
            return tensor  # an earlier operation made it, or the user put an infinity in on purpose
    raise FloatingPointError(f"{node.primitive.name if node.primitive else ''} made {bad}, in {_describe(node)}.")


def _inspect_gradient(node: Node, slot: int, g: Any, r: Any) -> None:
    # Raise if a rule made a gradient r that is not finite from a cotangent g that is finite.
    bad = _non_finite_text(raw(r))
    if bad is not None and _non_finite_text(raw(g)) is None:
        primitive: Primitive = node.primitive  # type: ignore[assignment]
        ties, why = primitive.ties, ""
        if ties is not None and ties.have_equal(node.out, node.args[0]).any():  # type: ignore[index]
            why = f" {ties.reason}"
        elif primitive.kinks and "NaN" in primitive.kinks:
            why = f" It is {primitive.kinks}."
        raise FloatingPointError(
            f"the rule of argument {slot} made {bad}, in the gradient of {_describe(node)}.{why}"
        )


def _non_finite_text(array: Any) -> str | None:
    """Return, in words, the first entry that is NaN or infinite and its index; None if all are finite."""
    array = np.asarray(array)
    if array.dtype.kind not in "fc" or np.isfinite(array).all():
        return None
    where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    return f"{array[where]} of finite numbers at entry {where}"


def _checksum(node: Node) -> tuple[int, ...]:
    from zlib import crc32

    arrays = (*node.args, node.out)  # type: ignore[misc]
    return tuple(crc32(np.ascontiguousarray(array).tobytes()) for array in arrays)


def _describe(node: Node) -> str:
    """Return a text with an operation, its arguments' names, dtypes and shapes, and the calling line if known."""
    name = node.primitive.name if node.primitive else "leaf"
    names = (((p.notes or {}).get("name") if p else None) or "array" for p in node.parents or ())
    arguments = ", ".join(
        f"{printable(given)} {np.asarray(arg).dtype}{list(np.shape(arg))}"
        for arg, given in zip(node.args, names, strict=True)  # type: ignore[arg-type]
    )
    where = (node.notes or {}).get("where")
    line = f" at {printable(where[0])}:{where[1]}: {printable(linecache.getline(*where).strip())}" if where else ""
    return f"{name}({arguments}){line}"


Tensor.backward = backward  # type: ignore[attr-defined]
Tensor.register_hook = register_hook  # type: ignore[attr-defined]
Node.tensor = Tensor
