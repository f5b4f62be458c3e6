"""The parts of `replay_typing.py`: a recorded trace, the devices that send it, the server that is killed, and the proof."""
