"""Installed models: where they lie, what their cards say, and the zip that carries one."""
