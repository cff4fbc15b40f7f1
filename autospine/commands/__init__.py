"""The commands: thin callers of the packages, one file per command."""
