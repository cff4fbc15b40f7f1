"""Serve every other package: errors, files, machines, processes, plug-ins, the work folder."""
