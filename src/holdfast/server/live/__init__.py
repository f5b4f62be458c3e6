"""`WS /v1/live`: pushes and changes both ways on one socket, heartbeats, presence, resuming by cursor."""
