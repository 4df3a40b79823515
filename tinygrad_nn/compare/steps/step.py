"""One step of a backward: the gradient of one intermediate, the person's line, and what is to be said of both."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..diagnosis import Diagnosis, Row


@dataclass(frozen=True)
class Step:
    """The gradient of one intermediate, judged twice.

    Attributes:
        name, belongs_to: of the gradient and of the intermediate: ``dvar`` and ``var``.
        line, source: the statement that gave it, and its number in the person's file or cell; 0 where not known.
        function: whose line it is.
        round: which of the bindings of the name it is, from 1, in time; `rounds`: how many there are.
        value_ok: whether it is the right gradient.
        rule_ok: whether it is what the right rule makes of the person's own gradients of what comes after it.
        row: it beside the right gradient and the referee; `own`: beside what its own rule makes of the person's.
        arrived: that, at the entry of `row` that is worst.
        diagnosis: why the rule is wrong, or None.
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
        """Whether both are right."""
        return self.value_ok and self.rule_ok

    @property
    def verdict(self) -> str:
        """``ok``; ``WRONG``; or ``follows``: the line is right and the gradient that came into it is wrong."""
        return "WRONG" if not self.rule_ok else "ok" if self.value_ok else "follows"

    @property
    def place(self) -> str:
        """The name and the line: ``dvar (line 12: dvar = ...)``."""
        if not self.line:
            return self.name
        text = f"line {self.line}" + (f": {self.source}" if self.source else "")
        return text if self.name in self.source else f"{text} ({self.name})"

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values, without its rows."""
        plain: dict[str, object] = {key: value for key, value in vars(self).items() if key not in ("row", "own")}
        plain["diagnosis"] = None if self.diagnosis is None else asdict(self.diagnosis)
        return {**plain, "verdict": self.verdict, "yours": self.row.manual, "right": self.row.graph,
                "by_its_rule": self.arrived}  # fmt: skip
