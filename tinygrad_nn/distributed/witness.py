"""A process that watches the ranks of a host and says which one died: mpiexec then kills all others, which cannot.

It is started as ``python -S -E witness.py WHO...``, one text a rank, each beginning with the number of its process. It
ends without a word when it reads a byte from its standard input.
"""

import os
import select
import sys

AFTER = (
    "is gone: it was killed, or ended without Python. All ranks stop; a checkpoint that was written is whole, go on "
    "from it with resume=True.\n"
)


def watch(ranks: list[str]) -> str:
    """Return what is to be said when one of these processes ends; nothing where they end as they should."""
    poll, names = select.poll(), {}
    poll.register(0, select.POLLIN)
    for who in ranks:
        number, _, name = who.partition(" ")
        try:
            names[os.pidfd_open(int(number))] = name
        except ProcessLookupError:
            return f"{name} {AFTER}"
        poll.register(max(names), select.POLLIN)
    while True:
        ready = [place for place, _ in poll.poll()]
        if 0 in ready:
            if os.read(0, 1):
                return ""
            poll.unregister(0)  # the rank that started this one is gone, without a word
        dead = [names[place] for place in ready if place in names]
        if dead:
            return f"{dead[0] if len(dead) == 1 else 'one of ' + ', '.join(dead)} {AFTER}"


if __name__ == "__main__":
    os.write(2, watch(sys.argv[1:]).encode())
