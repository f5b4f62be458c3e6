"""What Holdfast ships for testing what is built on it: disks and networks that fail, the conformance suites of storage and of devices."""
