"""Models that are passed on: packing with a card, export as a zip, installation and its commands."""
