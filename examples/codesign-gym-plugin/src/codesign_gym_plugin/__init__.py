"""An environment, a device and a network for codesign-gym, from outside its repository."""
