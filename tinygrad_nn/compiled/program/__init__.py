"""The program that a trace wrote down, made smaller and given memory.

A program is a list of operations on values (`values`). First it is made smaller without changing its numbers: what is
computed twice is computed once, what nobody reads goes (`simplify`). Then each value gets a place (`memory`): a buffer
that is made once and lent to another value when this one has been read for the last time, so that a call allocates
nothing. `verify` proves that nothing is read before it was written, nor overwritten while it is needed. `arguments` is
the code that takes the arguments of a call apart; `show` is the program as a table and as a graph.
"""
