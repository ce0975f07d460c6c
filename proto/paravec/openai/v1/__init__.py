"""The service, with code generated from openai.proto by `make proto`: messages only."""
