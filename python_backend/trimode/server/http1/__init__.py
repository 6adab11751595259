"""The client's side of HTTP/1.1, as far as tritonserver speaks it. The server's side, for callers, is http_front/."""
