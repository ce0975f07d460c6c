"""What gRPC lets a connection do, and for how long."""

from ..settings import Settings

# Bytes of all metadata of a call. gRPC refuses at random between a soft limit and this one; here both are one. A token,
# the context of a trace and an id need a quarter of it.
_METADATA = 16 * 2**10

# Seconds that a stream may go on once its connection is old. Our client has no streams but its watch of health.
_GRACE = 3600.0

# Seconds until a connection without calls is closed. A client comes back with its next call.
_IDLE = 300.0

# Seconds for TLS and HTTP/2 to be agreed on: who connects and says nothing holds a socket no longer.
_HANDSHAKE = 10.0

# Seconds of silence until a client is asked whether it is there, and for its answer: a call of one that vanished
# without a word is stopped within their sum.
_KEEPALIVE, _ANSWER = 30.0, 10.0

# Seconds between two pings that a client may send, with calls or without: ours sends one every 10. Who sends more than
# this many too early is told too_many_pings and loses its connection.
_PINGS, _STRIKES = 5.0, 2

# Bytes of a message that may come before the call is taken on: four fifths of what the largest calls bring need not be
# sent to be refused. The rest of a message that is wanted comes a round trip later. Without probes, which measure how
# much a connection can bear, it stays at that.
_AHEAD = 16 * 2**10

# Calls that wait in gRPC's core, which cancels those beyond this. It is more than ever wait there: our code asks for
# many calls ahead.
_PENDING = 10**6

# Seconds until a peer must have acknowledged our settings: until then gRPC takes 1 MiB of metadata from it, not 16 KiB.
_SETTINGS = 5.0


def options(settings: Settings) -> list[tuple[str, int]]:
    """Arguments for grpc.server; they are those of gRPC's channel_arg_names.h."""
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        # What is sent is bounded by what is asked for: documents times the size of a vector.
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", _METADATA),
        ("grpc.absolute_max_metadata_size", _METADATA),
        ("grpc.http2.lookahead_bytes", _AHEAD),
        ("grpc.http2.bdp_probe", 0),
        # Beyond these, gRPC in the client queues calls, within their deadlines and at no cost to the server.
        ("grpc.max_concurrent_streams", settings.max_streams),
        # A stream that has ended makes room for the next. With it, calls whose objects are not freed yet count as well,
        # which clients cannot know: those that keep to the bound are refused.
        ("grpc.http.overload_protection", 0),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.server.max_pending_requests", _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", _PENDING),
        ("grpc.http2.settings_timeout", _ms(_SETTINGS)),
        # A channel looks addresses up when it connects: pods that came later get their share no later than this.
        ("grpc.max_connection_age_ms", _ms(settings.max_connection_age)),
        ("grpc.max_connection_age_grace_ms", _ms(_GRACE)),
        ("grpc.max_connection_idle_ms", _ms(_IDLE)),
        ("grpc.server_handshake_timeout_ms", _ms(_HANDSHAKE)),
        ("grpc.keepalive_time_ms", _ms(_KEEPALIVE)),
        ("grpc.keepalive_timeout_ms", _ms(_ANSWER)),
        # That alone has no effect below a minute, which is the default of this one (seen with gRPC 1.85).
        ("grpc.http2.ping_timeout_ms", _ms(_ANSWER)),
        # Pings between calls too, and as often as it takes: else gRPC sends two and waits for data.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(_PINGS)),
        ("grpc.http2.max_ping_strikes", _STRIKES),
    ]


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
