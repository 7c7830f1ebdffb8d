"""The live page: runs as they are, served on loopback to one who has the address, read only."""
