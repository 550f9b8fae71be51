"""Many runs at once: in processes, under one vmap, or one after the other."""
