"""gRPC channel options that both ends must agree on; imports no gRPC.

Sources: grpc/doc/keepalive.md (ping policy, GOAWAY too_many_pings), fleet
design 3.1: 30 s + 10 s detects a frozen peer in about 40 s; a server that does
not allow pings that often would close the connection.
"""

MAX_MESSAGE_BYTES = 1024 * 1024
# What a server's transport still takes in: up to here the refusal has our words and names the peer,
# beyond it nothing is read and the transport refuses by itself.
TRANSPORT_MOST_BYTES = 4 * MAX_MESSAGE_BYTES
CHUNK_BYTES = 512 * 1024

CLIENT_OPTIONS: list[tuple[str, int]] = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 10_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
]

SERVER_OPTIONS: list[tuple[str, int]] = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", TRANSPORT_MOST_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    # Nothing that agents send is compressed; without a way to swell there is no bomb.
    ("grpc.compression_enabled_algorithms_bitset", 1),
]
