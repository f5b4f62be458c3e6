"""What Holdfast ships for testing what is built on it: a disk that loses power, and the conformance suite of storage backends."""
