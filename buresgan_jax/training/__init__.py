"""The training program: loop, run, devices, checkpoints."""
