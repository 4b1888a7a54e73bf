"""Beyond one machine: one table of all episodes for Lance, and a job for a cluster of Ray."""
