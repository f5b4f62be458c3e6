"""The HTTP edge: real sockets on loopback, a store in memory."""
