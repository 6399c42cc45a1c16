"""What stands in for the master and the nodes of a Disco cluster.

Nothing here knows user functions: it sees job packs, urls, labels and processes.
"""
