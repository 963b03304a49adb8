"""Cost models, one file per accelerator family, and the devices that fill them with numbers."""
