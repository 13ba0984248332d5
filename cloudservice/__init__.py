"""The nouns: what a cloud service is, read from its definition and configuration files."""
