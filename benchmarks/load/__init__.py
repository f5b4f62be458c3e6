"""The load: one process with raw HTTP/1.1 over loopback (uvloop), closed loop, every answer checked.

Tried beside it: wrk 4.1 with a Lua script that makes unique ids and checks each answer. Against a server that answers at once, both took
the same CPU per request, nearly all of it in the kernel (16 to 19 µs; 5 µs of it in user space, Python and LuaJIT alike). The own one
knows which device a connection is, keeps its line of mutations (`after`, `base`) and its text, so that the end state can be
compared; and it needs nothing installed.
"""
