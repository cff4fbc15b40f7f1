"""The commands: thin callers of the rooms, one file each."""
