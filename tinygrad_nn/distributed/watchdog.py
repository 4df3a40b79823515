"""A process that watches the ranks of a host and reports which one died.

The other ranks cannot report it, because mpiexec kills them then. The process is started as
``python -S -E watchdog.py WHO...``, with one text per rank that begins with its process id. It writes a byte as soon as
it watches all ranks, and ends silently when it reads a byte from its standard input.
"""

import os
import select
import sys

AFTER = (
    "is gone: it was killed, or ended without Python. All ranks stop. A written checkpoint is complete; continue from "
    "it with resume=True.\n"
)


def watch_processes(ranks: list[str]) -> str:
    """Wait until one of these processes dies and return the message about it, or ``''`` if told to end."""
    poll, names, dead = select.poll(), {}, []
    poll.register(0, select.POLLIN)
    for who in ranks:
        number, _, name = who.partition(" ")
        try:
            place = os.pidfd_open(int(number))
        except ProcessLookupError:
            dead.append(name)
        else:
            names[place] = name
            poll.register(place, select.POLLIN)
    os.write(1, b".")
    while not dead:
        ready = [place for place, _ in poll.poll()]
        if 0 in ready:
            if os.read(0, 1):
                return ""
            poll.unregister(0)  # the rank that started this process died without telling it to end
        dead = [names[place] for place in ready if place in names]
    return f"{dead[0] if len(dead) == 1 else 'one of ' + ', '.join(dead)} {AFTER}"


if __name__ == "__main__":
    os.write(2, watch_processes(sys.argv[1:]).encode())
