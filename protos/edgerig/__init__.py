"""The contract that controller, agent and their peers agree on.

Version, words, units, errors, channel options, and the generated messages of
`edgerig.v1`. It imports nothing else of this project.
"""

from edgerig.version import VERSION

__version__ = VERSION
