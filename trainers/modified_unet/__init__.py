"""Modified U-Net with mask cleaning, slice filter and focal-Dice loss (Ahmed et al. 2024)."""
