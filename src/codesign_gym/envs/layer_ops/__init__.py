"""What each layer computes: ``codesign/LayerOps-v0``."""
