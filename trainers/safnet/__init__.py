"""Scene-aware fusion network on lower-spine volumes (Yilihamu et al. 2023)."""
