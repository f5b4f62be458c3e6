"""What Holdfast is compared with: what a developer would otherwise write by hand, and what the disk's library can do at all."""
