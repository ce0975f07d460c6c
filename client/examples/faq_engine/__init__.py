"""A small web service that answers questions from a list of frequently asked ones. It holds no model: a paravec server
makes vectors of texts."""
