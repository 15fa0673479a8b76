"""The version, alone, so that whoever needs it imports nothing else."""

__version__ = "2.0.0"
