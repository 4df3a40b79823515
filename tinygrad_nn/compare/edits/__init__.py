"""Find the smallest edit of the user's own backward that makes its gradients right.

`reading` finds the source and compiles the function from an edited syntax tree; `running` runs it on copies, silently
and with a limit on loops; `program` splits it so that only the part after an edit runs again; `scope` knows the names
and values that a line can see; `influence` finds the suspected lines; `candidates` and `statement` generate the edits
of a line; `search` tries them; `step` does so for one line and the value that it should give, and for the lines
`behind` it, with the names of the `moments` before these lines ran.
"""

from .behind import RETURNED, Behind, Known, Target
from .influence import line_of_all, line_of_result
from .moments import Place
from .search import Edit, nearest_edit, nearest_edits
from .step import edit_of_step, is_right_from_right

__all__ = [
    "RETURNED", "Behind", "Edit", "Known", "Place", "Target", "edit_of_step", "is_right_from_right", "line_of_all",
    "line_of_result", "nearest_edit", "nearest_edits",
]  # fmt: skip
