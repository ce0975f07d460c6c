"""The gRPC service: settings, statuses, the service itself, and the process that serves it."""
