"""workbench: fit models in notebooks; the very same objects trade at Interactive Brokers.

Importing the package is cheap: every room is imported where it is used.
"""

__version__ = "0.1.0"
