"""What tritonserver is started with that lies in the server's private folder: links, sockets, a Python."""
