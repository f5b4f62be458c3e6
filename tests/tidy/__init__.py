"""The rules of the code base, as tests: they read files, run nothing of ours, and need no network."""
