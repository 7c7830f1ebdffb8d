"""Grade answers with models that judge or embed: make calls, read replies, compute scores and statistics. Nothing here sends."""
