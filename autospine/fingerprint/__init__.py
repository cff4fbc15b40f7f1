"""The fingerprint: what planning needs to know of a data set."""
