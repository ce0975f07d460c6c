"""Channel arguments of the server: what gRPC lets a connection do, and for how long."""

from ..settings import Settings

# All metadata of a call. gRPC refuses at random between its soft and its hard limit, so both are set to this. A token,
# a trace context and a request id need a quarter of it.
_METADATA_BYTES = 16 * 2**10

# How long a stream may go on after its connection has reached its age. Our client's only stream is its health watch.
_GRACE_SECONDS = 3600.0

# A connection without calls is closed after so long. A client reconnects with its next call.
_IDLE_SECONDS = 300.0

# Time for the handshakes of TLS and HTTP/2: a peer that connects and sends nothing holds a socket no longer.
_HANDSHAKE_SECONDS = 10.0

# A silent connection is pinged after the first, and closed if no answer comes within the second. Calls of a client that
# vanished stop within their sum.
_KEEPALIVE_SECONDS, _KEEPALIVE_TIMEOUT_SECONDS = 30.0, 10.0

# How often a client may send pings, with calls or without; ours sends one every 10 s. After so many that come too
# early, the client gets too_many_pings and loses its connection.
_PING_INTERVAL_SECONDS, _PING_STRIKES = 5.0, 2

# How much of a message may come before the call is accepted. The rest of an accepted message comes a round trip later;
# of a large refused one, four fifths are never sent. Without BDP probes the window stays at this.
_LOOKAHEAD_BYTES = 16 * 2**10

# gRPC's core cancels the calls that wait in it beyond this. So many never do: we request calls ahead of time.
_PENDING_CALLS = 10**6

# How long a peer may take to acknowledge our settings. Until then gRPC accepts 1 MiB of metadata from it, not 16 KiB.
_SETTINGS_SECONDS = 5.0


def channel_args(settings: Settings) -> list[tuple[str, int]]:
    """Options for grpc.server, by the names of gRPC's channel_arg_names.h."""
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        # The request limits bound the response: documents times the size of a vector.
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
        ("grpc.http2.lookahead_bytes", _LOOKAHEAD_BYTES),
        ("grpc.http2.bdp_probe", 0),
        # Beyond this, gRPC in the client queues calls within their deadlines, at no cost to the server.
        ("grpc.max_concurrent_streams", settings.max_streams),
        # With this protection, calls also count until their objects are freed. Clients cannot know that, so those that
        # keep to the limit would be refused.
        ("grpc.http.overload_protection", 0),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.server.max_pending_requests", _PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _PENDING_CALLS),
        ("grpc.http2.settings_timeout", _milliseconds(_SETTINGS_SECONDS)),
        # A channel resolves its target when it connects, so new pods get their share of calls within this age.
        ("grpc.max_connection_age_ms", _milliseconds(settings.max_connection_age)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(_GRACE_SECONDS)),
        ("grpc.max_connection_idle_ms", _milliseconds(_IDLE_SECONDS)),
        ("grpc.server_handshake_timeout_ms", _milliseconds(_HANDSHAKE_SECONDS)),
        ("grpc.keepalive_time_ms", _milliseconds(_KEEPALIVE_SECONDS)),
        ("grpc.keepalive_timeout_ms", _milliseconds(_KEEPALIVE_TIMEOUT_SECONDS)),
        # A keepalive timeout below a minute, the default of this one, has no effect alone (seen with gRPC 1.85).
        ("grpc.http2.ping_timeout_ms", _milliseconds(_KEEPALIVE_TIMEOUT_SECONDS)),
        # Ping between calls too, as often as needed: by default gRPC sends two pings and then waits for data.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(_PING_INTERVAL_SECONDS)),
        ("grpc.http2.max_ping_strikes", _PING_STRIKES),
    ]


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
