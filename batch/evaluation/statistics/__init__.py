"""Statistics on score tables: pure numpy, no I/O, no global state. Functions that draw random numbers take a seeded generator.

The unit of evidence is the cluster where rows are clustered, else the row; repeats of a row are averaged before anything else.
"""
