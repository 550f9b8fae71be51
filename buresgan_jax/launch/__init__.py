"""Many runs at once: processes, one vmap, or one after the other."""
