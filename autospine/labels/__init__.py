"""Labels: anatomies, schemes, conversion, and what a network learns of them."""
