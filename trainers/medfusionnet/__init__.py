"""MedFusionNet: four members and the best weighted pair (Narula et al. 2024)."""
