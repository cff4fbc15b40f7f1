"""The data set: its cases, tables, checks and folds."""
