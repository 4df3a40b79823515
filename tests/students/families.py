"""All solutions of students, grouped by the course whose style they follow."""

from tests.students import coursera, cs231n, d2l, makemore, minitorch, steps
from tests.students.judge import Case

CASES: list[Case] = makemore.CASES + steps.CASES + cs231n.CASES + minitorch.CASES + d2l.CASES + coursera.CASES
FAMILIES = tuple(dict.fromkeys(case.family for case in CASES))
