"""The bundled applications, through the real server on a loopback port and on SQLite."""
