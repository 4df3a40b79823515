"""Find the smallest edit of the user's own backward that makes its gradients right.

The edit is found by trying: the source is parsed, one expression is replaced, and the changed function runs.

- `reading` finds the source and compiles the function from an edited syntax tree (`trees`).
- `running` runs it on copies of its data, without output and with a limit on loops. `program` splits the function, so
  that only the part after an edit runs again.
- `influence` finds the lines that can be the cause; `scope` knows the names and values that a line can see.
- `candidates`, `additions` and `statement` generate the edits of a line; `search` tries them, the cheapest first.
- `step` does the same for one line, if it is known which value the line should give. `dependencies` also edits the
  lines before it that it depends on, and `moments` records the names that these lines saw.
- `stops` says where user code raised an error, and `mended_stops` searches the edit with which it runs and is right;
  `failed_line` generates edits for what does not exist or fit. `trial` puts an edit into the user's own function.
- `kinds` names the kind of mistake that an edit corrects, and `text` shows the edit.
"""

from .dependencies import Behind, KnownGradient, Target
from .edited_code import RETURNED
from .influence import line_of_all, line_of_result
from .moments import Place
from .search import Edit, nearest_edits
from .step import edit_of_step, is_right_from_right

__all__ = [
    "RETURNED",
    "Behind",
    "Edit",
    "KnownGradient",
    "Place",
    "Target",
    "edit_of_step",
    "is_right_from_right",
    "line_of_all",
    "line_of_result",
    "nearest_edits",
]
