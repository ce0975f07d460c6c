"""A small web service that answers questions from a list of frequently asked questions. It holds no model: a paravec
server computes the vectors."""
