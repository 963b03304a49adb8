"""Weight-sharing supernets of operator spaces, trained here, whose candidates are measured on real images."""
