"""Report an evaluation: text, tables, CSV files, JSON and one HTML page."""
