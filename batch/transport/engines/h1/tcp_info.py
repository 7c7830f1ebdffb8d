"""What the kernel knows of a TCP connection: how much of what was written the other side has acknowledged.

Source: struct tcp_info in Linux' include/uapi/linux/tcp.h (its members only ever grow at the end; bytes_sent came with 4.19).
"""

from __future__ import annotations

import socket
import struct
import sys

_BYTES_ACKED, _NOTSENT, _BYTES_SENT, _SIZE = 120, 144, 200, 216


def unacknowledged_bytes(sock: socket.socket) -> int | None:
    """The bytes that were written and not acknowledged; None where the system does not say."""
    if sys.platform != "linux":
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    except OSError:
        return None
    if len(info) < _SIZE:
        return None
    (acked,) = struct.unpack_from("=Q", info, _BYTES_ACKED)
    (not_sent,) = struct.unpack_from("=I", info, _NOTSENT)
    sent, sent_again = struct.unpack_from("=QQ", info, _BYTES_SENT)
    # The SYN is acknowledged as one byte, but not sent as one.
    return int(sent - sent_again + not_sent - (acked - 1))
