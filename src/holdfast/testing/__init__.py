"""What Holdfast ships for testing what is built on it: a disk that loses power, and the conformance suites of storage backends and of devices."""
