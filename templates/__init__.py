"""Templates by kind of role; the folder below each name is laid over the folder that is made."""
