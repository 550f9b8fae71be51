"""The process and the machine of a program: threads, memory, cores, caches, signals. The library leaves both alone."""
