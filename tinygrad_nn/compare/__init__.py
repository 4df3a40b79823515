"""Compare gradients computed by three roads (written by hand, by the graph, numerical) and explain why they differ.

The comparison has two parts. First it decides whether the gradient that the user wrote is right: `rows` compares it
with that of the graph, entry by entry. Where the two differ, the numerical road tells which of them is wrong, because
it uses no rule at all, only values of the function. A difference that rounding can cause is no mistake, nor is another
value at a kink, if it lies between the slopes on its sides (`numerical`).

Then it searches for the reason. A known mistake is stored as code that computes a wrong gradient on purpose, such as
"the sum over the batch is forgotten" (`mistakes`, `layers.suspects`). If a walk back with this one mistake in it gives
the gradient that the user's code returned, up to rounding, the mistake is a candidate. It must do so for other inputs
too, which are drawn at random: two mistakes may give the same numbers once, but hardly each time. Of the candidates
that remain, the simplest is reported. Example: for ``f = (x**2).sum()`` the gradient is ``2 * x``. If the user's code
returns ``x``, every entry is half of the right one, also for other x, so the kind is ``scale`` and the factor 1/2.

- `gradients` has the functions that users call, and chooses one of the three comparisons: `layers` for a list of
  layers, `function` for any function, `steps` for each line of a backward. `roads` only measures, without reasons.
- `conventions` calls the user's code, however its forward and backward pass values to each other.
- `edits` tries small changes of the user's source, and reports the one that makes the gradients right.
- `diagnosis` has the kinds of mistakes and the classes of results; `report` and `page` show them.
- `pattern` and `factors` put differences into words; `paths` walks back through a graph with a mistake in it;
  `behaviour` finds side effects of a backward; `experiment` is one batch through a list of layers.
"""

from .diagnosis import KINDS, Diagnosis, Difference, Row
from .gradients import assert_gradients_match, compare_gradients
from .report import ComparisonReport
from .roads import Parameter, RoadsReport, compare_roads
from .steps.comparison import compare_steps
from .steps.step import Step

__all__ = [
    "KINDS", "ComparisonReport", "Diagnosis", "Difference", "Parameter", "RoadsReport", "Row", "Step",
    "assert_gradients_match", "compare_gradients", "compare_roads", "compare_steps",
]  # fmt: skip
