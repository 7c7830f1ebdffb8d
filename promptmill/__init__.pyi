from batch import *  # noqa: F403
from batch import __version__ as __version__
