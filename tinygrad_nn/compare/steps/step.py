"""One step of a backward: one gradient of the user, the source line that computed it, and the judgement on both."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..diagnosis import Diagnosis, Row


@dataclass(frozen=True)
class Step:
    """The user's gradient of one forward value, judged by its value and by its own rule.

    Attributes:
        name, belongs_to: the name of the gradient and that of the forward value: ``dvar`` and ``var``.
        line, source: the number of the line that computed it, in the user's file or cell (0: not known), and its text.
        function: the name of the function that has the line.
        round: the number of this binding of the name in time, from 1; `rounds`: how many bindings there are.
        value_ok: whether it is the right gradient.
        rule_ok: whether it is what the right rule computes from the user's own gradients of the later values.
        row: its comparison with the right gradient and the referee.
        own: its comparison with what the right rule computes from the user's own gradients.
        arrived: what that rule computes, at the worst entry of `row`.
        diagnosis: why it is wrong by its own rule, or None.
    """

    name: str
    belongs_to: str
    line: int
    source: str
    function: str
    round: int
    rounds: int
    value_ok: bool
    rule_ok: bool
    row: Row
    own: Row
    arrived: float
    diagnosis: Diagnosis | None = None

    @property
    def ok(self) -> bool:
        """Whether the gradient is right both by its value and by its own rule."""
        return self.value_ok and self.rule_ok

    @property
    def verdict(self) -> str:
        """``ok``, ``WRONG``, or ``follows``: the line is right, but a gradient that came into it is wrong."""
        return "WRONG" if not self.rule_ok else "ok" if self.value_ok else "follows"

    @property
    def place(self) -> str:
        """Where the step is: ``line 12: dvar = ...``, with the name in brackets if the source does not show it."""
        if not self.line:
            return self.name
        text = f"line {self.line}" + (f": {self.source}" if self.source else "")
        return text if self.name in self.source else f"{text} ({self.name})"

    def as_dict(self) -> dict[str, object]:
        """Return the step as a dict of plain values, with single numbers in place of its rows."""
        plain: dict[str, object] = {key: value for key, value in vars(self).items() if key not in ("row", "own")}
        plain["diagnosis"] = None if self.diagnosis is None else asdict(self.diagnosis)
        return {**plain, "verdict": self.verdict, "yours": self.row.manual, "right": self.row.graph,
                "by_its_rule": self.arrived}  # fmt: skip
