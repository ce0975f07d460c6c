"""The gRPC services: what each method answers.

A request goes through `embedding` (paravec.v1) or `open_inference` (KServe's protocol) to `inference`, which holds a
compute slot while the model's encoder works. `messages` and `tensors` turn protobuf messages into the model's types and
back. `health` and `reflection` are grpcio's own services.

Public: `EmbeddingService`, `OpenInferenceService`, `Health`, `Inference`.
"""
