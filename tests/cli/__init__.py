"""The command line: commands run in this process on folders of their own, and as programs where a server or a signal is part of it."""
