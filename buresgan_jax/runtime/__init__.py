"""Process and machine settings for programs: threads, memory, cores, caches, signals. The library changes neither."""
