"""CODEBench's accelerator template, with the synthesis results it rests on."""
