"""How calls reach the services, whatever they ask: admission, dispatch, batches of short calls, statuses.

`Dispatcher` runs every call from its start to its one end. Unary calls come by `fast_path`, straight from gRPC's
completion queue. Streams, and all calls if grpcio does not support that, come by grpcio's own server. Calls that are
not short compute in `ComputeSlots`.

Public: `RpcServer`, `Dispatcher`, `Call`, `RpcMethod`, `Admission`, `ComputeSlots`, and the errors in `errors`.
"""
