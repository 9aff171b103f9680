"""PostgreSQL without installing PostgreSQL: the server of a wheel, on a Unix socket, in the data folder.

    server = start(data_dir)        makes the cluster if need be, starts or joins its server; blocking
    server.dsn()                    where to connect
    server.close()                  leave; the server ends with the last process that uses it, however that ends

It opens no TCP port, makes no OS user, loosens no folder, and never runs the wheel's own Python.
"""

from poller.embedded.server import Command, EmbeddedServer, is_made, make_data_dir, start

__all__ = ["Command", "EmbeddedServer", "is_made", "make_data_dir", "start"]
