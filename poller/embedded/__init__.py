"""The embedded PostgreSQL: the programs of a Python wheel, a cluster in the data folder, a Unix socket.

    server = start(data_dir)        creates the cluster if there is none, starts or joins its server; blocking
    server.dsn()                    the address to connect to
    server.close()                  leaves the server; the server stops after the last process that uses it has ended

Opens no TCP port, creates no OS user, changes no folder's permissions, and never runs the wheel's own Python.
"""

from poller.embedded.server import Command, EmbeddedServer, is_made, make_data_dir, start

__all__ = ["Command", "EmbeddedServer", "is_made", "make_data_dir", "start"]
