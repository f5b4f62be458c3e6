"""The examples: their pure parts alone, and the whole against a real server in processes of its own."""
