"""The rows 1 to 35 of the fault matrix, each at the level of a whole run, over real sockets."""
