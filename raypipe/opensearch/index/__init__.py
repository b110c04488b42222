"""Create, read, rebuild and delete indices."""
