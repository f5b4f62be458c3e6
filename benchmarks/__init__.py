"""The measurements. `make bench` (or `python -m benchmarks`) runs them all and writes `benchmarks/results/`.

Each figure is measured by a program that prints the figure, its target, its ratio to the fdatasync rate of the disk at that moment, and
what else ran on the machine. Everything talks to loopback only, on ports the system picks, and ends by itself.
"""
