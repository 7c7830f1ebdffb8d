"""Speed, measured side by side: promptmill, the bare engines under it, and its peers, on the same rows and the same machine.

`make bench` installs what is missing and runs all; `make bench QUICK=1` takes five minutes; `make bench-floor` needs no peers.
Nothing here is part of the package. The modules of this package import the standard library only: the peak memory of a child
process is never told lower than that of the process which started it.
"""
