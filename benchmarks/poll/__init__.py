"""What polling costs: one question a module, one table a question, the aim beside each figure.

The server is a responder of ready-made bytes: the simulator takes as long to answer as a bare client to ask. It has
one core, together with PostgreSQL; what is measured has the other.
"""
