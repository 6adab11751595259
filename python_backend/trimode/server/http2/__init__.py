"""HTTP/2 (RFC 9113) as far as gRPC needs it: frames, streams and their windows, and one side of a connection.

Why not gRPC's own library, whose server and client this replaced at the front: measured on two busy cores with 8
streams of one token a response, grpc.aio took 130 to 220 µs of processor time to pass one response on and did nothing
else with it, its server with threads 200 to 260 µs: an eighth to a quarter of all that the response cost. Each message
there crosses to a thread of the library and back, once when it is read and once when it is written. Passing frames on
in the event loop took 35 to 65 µs with all that the front does, since what waits is read and written together. A
process of its own for gRPC was not needed then. `make perf PART=fronts` measures it.
"""
