"""The person's own source: which line is wrong, and the smallest change of it that makes the gradients right.

`reading` finds the source and makes the function again from a changed tree; `running` runs it on copies, quietly and
never without end; `program` takes it to pieces so that only what follows a change runs again; `scope` knows what a line
can see; `candidates` and `statement` write the changes that are tried; `influence` says which lines are suspected;
`search` tries them; `step` does so for one line and the value that it should give.
"""

from .influence import line_of_all, line_of_result
from .search import Edit, nearest_edit, nearest_edits
from .step import edit_of_step

__all__ = ["Edit", "edit_of_step", "line_of_all", "line_of_result", "nearest_edit", "nearest_edits"]
