"""The report of an evaluation as one page that opens anywhere: no other files, no network, no scripts."""
