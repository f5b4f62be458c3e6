"""Storage: against the memory backend, real files, and a simulated disk. No network, no processes but its own children."""
